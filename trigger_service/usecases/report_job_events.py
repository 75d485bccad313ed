"""ReportJobEvent and BatchReportJobEvents: one verb over a list; a single report is a batch of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from trigger_service.domain.events import JobEvent, completed
from trigger_service.domain.firings import Firing, FiringState
from trigger_service.domain.limits import MAX_BATCH
from trigger_service.domain.matching import Facts, Verdict, rule
from trigger_service.storage import events as event_store
from trigger_service.storage import firings as firing_store
from trigger_service.storage.events import Candidate, MatchView, NewEvent, NewFiring, Original
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import Aborted, AlreadyExists, InvalidArgument, WakepointError
from wakepoint.chassis.ids import new_id


class Disposition(Enum):
    """Whether a report was new."""

    ACCEPTED = "ACCEPTED"
    DUPLICATE = "DUPLICATE"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one event. For a DUPLICATE id and firings are the first report's."""

    disposition: Disposition
    event_id: str
    firings: Sequence[Firing]


Outcome: TypeAlias = Report | WakepointError


async def report_job_events(env: Environment, events: Sequence[JobEvent]) -> list[Outcome]:
    """Record events with a firing for every workflow that each matches, in one transaction.

    One outcome per event, in their order; an error stands in the place of the event that it concerns and leaves the
    others be. When this returns, nothing of it is lost any more.
    """
    if len(events) > MAX_BATCH:
        raise InvalidArgument.of("events", f"must not be more than {MAX_BATCH}")

    async def work(connection: Connection) -> list[Outcome]:
        return await _Batch(env, events).record(connection)

    outcomes = await env.database.run(work) if events else []
    failpoints.hit("trigger.report.after_commit")
    if any(isinstance(outcome, Report) and outcome.firings for outcome in outcomes):
        env.firings_due()
    return outcomes


class _Batch:
    """One attempt at recording. Made anew when the transaction has to be repeated."""

    def __init__(self, env: Environment, events: Sequence[JobEvent]) -> None:
        self._env = env
        self._events = events
        self._outcomes: dict[int, Outcome] = {}

    async def record(self, connection: Connection) -> list[Outcome]:
        view = await event_store.match_view(connection, self._events)
        new = self._complete(view)
        matched = [firing for event in new.values() for firing in fire(event, view, self._env)]
        accepted, written = await event_store.record(connection, list(new.values()), matched)
        failpoints.hit("trigger.report.before_commit")
        fired: dict[UUID, list[Firing]] = {}
        keys = {firing.firing_id: firing.event_key for firing in matched}
        for firing in written:
            fired.setdefault(keys[firing.firing_id], []).append(firing)
        repeated: dict[int, NewEvent] = {}
        for place, event in new.items():
            if event.event_key in accepted:
                firings = fired.get(event.event_key, [])
                self._outcomes[place] = Report(Disposition.ACCEPTED, event.event_id, firings)
            else:
                repeated[place] = event
        if repeated:
            await self._recall(connection, repeated)
        return [self._outcomes[place] for place in range(len(self._events))]

    def _complete(self, view: MatchView) -> dict[int, NewEvent]:
        """The events with what they left empty filled in, by place; what one says of a job, the next ones know."""
        known = dict(view.jobs)
        new: dict[int, NewEvent] = {}
        for place, given in enumerate(self._events):
            try:
                event = completed(given, known.get(given.job_key))
            except InvalidArgument as error:
                self._outcomes[place] = error
                continue
            known[event.job_key] = event.as_known_job()
            revision = view.revisions.get(event.experiment_id, 0)
            new[place] = NewEvent(UUID(new_id()), event, revision)
        return new

    async def _recall(self, connection: Connection, repeated: dict[int, NewEvent]) -> None:
        """Answer repeats. Statements of their own: the one that met the originals does not see their firings."""
        originals = await event_store.find_originals(connection, [new.event for new in repeated.values()])
        keys = {original.event_key for original in originals if original.event_key is not None}
        firings = await firing_store.of_events(connection, keys)
        for (place, new), original in zip(repeated.items(), originals, strict=True):
            self._outcomes[place] = _answer_repeated(new, original, firings)


def fire(new: NewEvent, view: MatchView, env: Environment) -> list[NewFiring]:
    """The firings that an event causes, by the one matcher."""
    found = []
    for candidate, verdict in matches(new.event, view, env.conditions, env.max_depth):
        held = verdict is Verdict.PAUSED
        found.append(
            NewFiring(
                UUID(new_id()),
                new.event_key,
                candidate.workflow_id,
                candidate.experiment_id,
                new.event_id,
                candidate.config.trigger_type,
                candidate.version,
                candidate.graph_hash,
                new.event.depth,
                (FiringState.HELD if held else FiringState.QUEUED).value,
                "PAUSE" if held else "",
            )
        )
    return found


def matches(
    event: JobEvent, view: MatchView, conditions: Conditions, max_depth: int
) -> list[tuple[Candidate, Verdict]]:
    """The candidates that the event fires, now (MATCHED) or when a pause ends (PAUSED)."""
    holds = conditions.about(event)
    found: list[tuple[Candidate, Verdict]] = []
    for candidate in view.candidates.get((event.experiment_id, event.job_type), ()):
        facts = Facts(view.now, max_depth, candidate.experiment_id, paused=candidate.paused)
        verdict = rule(candidate.config, event, facts, holds).verdict
        if verdict in {Verdict.MATCHED, Verdict.PAUSED}:
            found.append((candidate, verdict))
    return found


def _answer_repeated(new: NewEvent, original: Original, firings: dict[UUID, list[Firing]]) -> Outcome:
    if original.id_event_key is not None and original.id_event_key != original.event_key:
        return AlreadyExists(
            f"event_id {new.event_id} was used before for another job, attempt or status",
            reason="EVENT_ID_REUSED",
            event_id=new.event_id,
            source=new.event.source,
        )
    if original.event_key is None:
        # It made way between two statements: what is true now is for the next attempt to find out.
        return Aborted("the event was being removed; report it again")
    return Report(Disposition.DUPLICATE, original.event_id, firings[original.event_key])
