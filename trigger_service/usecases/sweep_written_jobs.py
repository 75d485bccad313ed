"""Match what others wrote into the jobs' table, as if they had reported it when they wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from trigger_service.domain.events import JobEvent, job_event
from trigger_service.storage import events as event_store
from trigger_service.storage import jobs
from trigger_service.storage.jobs import WrittenJob
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.report_job_events import Outcome, record_events, wake_loops
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument, ResourceExhausted, WakepointError

SOURCE = "trigger.jobs"
"""The source of events that were read from the jobs' table."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Swept:
    outcomes: Sequence[Outcome]
    done: int


async def sweep_written_jobs(env: Environment, limit: int = 500) -> int:
    """Match at most `limit` rows; how many are done with. Any number of replicas may sweep at once.

    A row that cannot be an event is put aside with its problem and holds back no other.
    """
    taken: list[int] = []
    try:
        swept = await env.database.run(partial(_sweep, env, limit, taken))
    except (InvalidArgument, ResourceExhausted) as error:
        if len(taken) > 1:
            # One of them may be the reason; it is found by halving.
            return await sweep_written_jobs(env, len(taken) // 2)
        return await env.database.run(partial(_put_aside, dict.fromkeys(taken, error.message)))
    if swept.outcomes:
        failpoints.hit("trigger.sweep.after_commit")
        wake_loops(env, swept.outcomes)
    return swept.done


async def say_matched(env: Environment, limit: int = 500) -> None:
    """Say of jobs whose rows were held when they were matched that they were."""

    async def work(connection: Connection) -> None:
        unsaid = await jobs.lock_unsaid(connection, limit)
        if unsaid:
            await jobs.finish_written(connection, unsaid)

    await env.database.run(work)


async def _sweep(env: Environment, limit: int, taken: list[int], connection: Connection) -> _Swept:
    rows = _of_one_revision(await jobs.lock_written(connection, limit))
    taken[:] = [row.written_id for row in rows]
    if not rows:
        return _Swept((), 0)
    events, problems = _read(rows)
    outcomes: list[Outcome] = []
    if events:
        revisions = {row.experiment_id: row.revision for row in rows}
        view = partial(event_store.match_view_at, connection, revisions)
        outcomes = await record_events(
            env, connection, list(events.values()), lambda _connection, given: view(given), keeps_jobs=True
        )
        for written_id, outcome in zip(events, outcomes, strict=True):
            if isinstance(outcome, WakepointError):
                problems[written_id] = outcome.message
    if problems:
        await _put_aside(problems, connection)
    await jobs.finish_written(connection, [row for row in events if row not in problems])
    failpoints.hit("trigger.sweep.before_commit")
    return _Swept(outcomes, len(rows))


def _of_one_revision(rows: Sequence[WrittenJob]) -> list[WrittenJob]:
    """The rows that can be matched together: one revision per experiment, the oldest; the others' turn comes next."""
    first: dict[str, int] = {}
    return [row for row in rows if first.setdefault(row.experiment_id, row.revision) == row.revision]


def _read(rows: Sequence[WrittenJob]) -> tuple[dict[int, JobEvent], dict[int, str]]:
    """Events and problems, by row."""
    events: dict[int, JobEvent] = {}
    problems: dict[int, str] = {}
    for row in rows:
        try:
            events[row.written_id] = job_event(
                {
                    "experiment_id": row.experiment_id,
                    "job_id": row.job_id,
                    "attempt": row.attempt,
                    "job_type": row.job_type,
                    "job_name": row.job_name,
                    "status": row.status,
                    "source": SOURCE,
                    "attributes": row.attributes if isinstance(row.attributes, dict) else {},
                    "occur_time": row.write_time,
                },
                field="job",
            )
        except InvalidArgument as error:
            problems[row.written_id] = error.message
    return events, problems


async def _put_aside(problems: Mapping[int, str], connection: Connection) -> int:
    _log.warning("rows of trigger.jobs cannot be stored as events", problems=list(problems.values()))
    await jobs.refuse_written(connection, problems)
    return len(problems)
