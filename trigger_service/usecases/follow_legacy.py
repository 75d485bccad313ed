"""Match the old system's jobs as they complete, carry nothing out, and compare with what it queued itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from trigger_service.domain.events import JobEvent, job_event
from trigger_service.domain.legacy import decoded, text_of
from trigger_service.domain.limits import MAX_BATCH, json_problem
from trigger_service.domain.old_triggers import known_type
from trigger_service.domain.shadow import Comparison, Difference
from trigger_service.domain.statuses import JobStatus
from trigger_service.storage import legacy_source
from trigger_service.storage.legacy_source import Fingerprint, Row, Snapshot
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.import_legacy import Line, import_legacy, workflow_id_of
from trigger_service.usecases.report_job_events import Report, report_job_events
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.errors import FailedPrecondition, InvalidArgument, WakepointError


class Follower:
    """Follows one database from the moment of the first round; what had happened by then is history.

    FailedPrecondition unless the environment is a shadow: otherwise the matches would be carried out.
    """

    def __init__(self, env: Environment, source: str, path: Path, clock: Clock, patience: float) -> None:
        if not env.is_shadow:
            raise FailedPrecondition("following carries nothing out: set TRIGGER_MODE=shadow", reason="NOT_A_SHADOW")
        self._env = env
        self._source = source
        self._path = path
        self._clock = clock
        self._seen: Fingerprint | None = None
        self._jobs: set[str] | None = None
        self._runs: set[str] = set()
        self._keys: dict[str, str] = {}
        self.comparison = Comparison(patience)

    async def round(self) -> tuple[Sequence[Line], Sequence[Difference], Sequence[str]]:
        """Look once. What was imported where the database changed; differences; jobs that could not be matched."""
        lines: Sequence[Line] = ()
        problems: list[str] = []
        seen = legacy_source.fingerprint(self._path)
        if seen != self._seen:
            snapshot = legacy_source.read(self._path)
            lines = await import_legacy(self._env.database, self._env.blueprints, self._source, snapshot)
            await self._compare(snapshot, problems)
            self._seen = seen
        return lines, self.comparison.overdue(self._clock.monotonic()), problems

    async def _compare(self, snapshot: Snapshot, problems: list[str]) -> None:
        keys = [text_of(row.get("id")) for row in snapshot.workflows]
        self._keys = {str(workflow_id_of(self._source, key)): key for key in keys}
        completed = {text_of(row.get("id")): row for row in snapshot.jobs if _is_complete(row)}
        if self._jobs is None:
            self._jobs = set(completed)
            self._runs = {text_of(row.get("id")) for row in snapshot.runs}
            return
        new = {key: row for key, row in completed.items() if key and key not in self._jobs}
        await self._match(new, problems)
        self._jobs |= set(new)
        for row in snapshot.runs:
            key = text_of(row.get("id"))
            if key not in self._runs:
                self._runs.add(key)
                self.comparison.theirs(text_of(row.get("workflow_id")), key, self._clock.monotonic())

    async def _match(self, rows: dict[str, Row], problems: list[str]) -> None:
        events: list[JobEvent] = []
        for key, row in rows.items():
            try:
                events.append(self._event(key, row))
            except InvalidArgument as error:
                problems.append(f"job {key}: {error.message}")
        for first in range(0, len(events), MAX_BATCH):
            batch = events[first : first + MAX_BATCH]
            for event, outcome in zip(batch, await report_job_events(self._env, batch), strict=True):
                match outcome:
                    case Report():
                        self._note(event, outcome)
                    case WakepointError():
                        problems.append(f"job {event.job_id}: {outcome.message}")

    def _note(self, event: JobEvent, report: Report) -> None:
        for firing in report.firings:
            # Workflows that were made here have no counterpart there.
            key = self._keys.get(str(firing.workflow_id))
            if key is not None:
                self.comparison.ours(key, event.job_id, self._clock.monotonic())

    def _event(self, key: str, row: Row) -> JobEvent:
        given = text_of(row.get("type") or row.get("job_type"))
        data = decoded(row.get("job_data"))
        attributes = data if isinstance(data, dict) and json_problem(data) is None else {}
        return job_event(
            {
                "experiment_id": text_of(row.get("experiment_id")),
                "job_id": key,
                "job_type": known_type(given, self._env.blueprints.types) or given,
                "job_name": text_of(row.get("name") or attributes.get("template_name"))[:255],
                "status": JobStatus.COMPLETE.value,
                "source": f"legacy:{self._source}",
                "attributes": _storable(attributes),
            },
            field="job",
        )


def _is_complete(row: Row) -> bool:
    return text_of(row.get("status")).upper() == JobStatus.COMPLETE


def _storable(value: object) -> object:
    """JSON without what a text column cannot keep."""
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case dict():
            return {str(_storable(name)): _storable(item) for name, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
