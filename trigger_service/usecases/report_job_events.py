"""ReportJobEvent and BatchReportJobEvents: one verb over a list; a single report is a batch of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from trigger_service.domain.events import JobEvent, completed
from trigger_service.domain.firings import Firing
from trigger_service.domain.limits import MAX_BATCH
from trigger_service.storage import events as event_store
from trigger_service.storage import firings as firing_store
from trigger_service.storage.events import MatchView, NewEvent, Original
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.hear_heartbeats import hear_heartbeats
from trigger_service.usecases.record_matches import plan_of, record_plan
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
    """What became of one event. For a DUPLICATE id and firings are the first report's.

    `firings_purged`: it was so long ago that what it fired is not kept any more.
    """

    disposition: Disposition
    event_id: str
    firings: Sequence[Firing]
    firings_purged: bool = False


Outcome: TypeAlias = Report | WakepointError

ViewReader: TypeAlias = Callable[[Connection, Sequence[JobEvent]], Awaitable[MatchView]]
"""What matching needs to know, read in one snapshot."""


async def report_job_events(env: Environment, events: Sequence[JobEvent]) -> list[Outcome]:
    """Record events with a firing for every workflow that each matches, in one transaction.

    One outcome per event, in their order; an error stands in the place of the event that it concerns and leaves the
    others be. When this returns, nothing of it is lost any more.
    """
    if len(events) > MAX_BATCH:
        raise InvalidArgument.of("events", f"must not be more than {MAX_BATCH}")

    async def work(connection: Connection) -> list[Outcome]:
        outcomes = await record_events(env, connection, events, event_store.match_view)
        heard = [event for event, outcome in zip(events, outcomes, strict=True) if isinstance(outcome, Report)]
        await hear_heartbeats(connection, heard)
        return outcomes

    outcomes = await env.database.run(work) if events else []
    failpoints.hit("trigger.report.after_commit")
    wake_loops(env, outcomes)
    return outcomes


async def record_events(
    env: Environment,
    connection: Connection,
    events: Sequence[JobEvent],
    read_view: ViewReader,
    *,
    keeps_jobs: bool = False,
) -> list[Outcome]:
    """The same inside the caller's transaction, matched against what `read_view` finds.

    `keeps_jobs`: the jobs' rows are the caller's to write.
    """
    return await _Batch(env, events, keeps_jobs).record(connection, read_view)


def wake_loops(env: Environment, outcomes: Iterable[Outcome]) -> None:
    """After the commit: have handed over what these reports brought."""
    accepted = [item for item in outcomes if isinstance(item, Report) and item.disposition is Disposition.ACCEPTED]
    if any(report.firings for report in accepted):
        env.firings_due()
    if accepted:
        env.deliveries_due()


class _Batch:
    """One attempt at recording. Made anew when the transaction has to be repeated."""

    def __init__(self, env: Environment, events: Sequence[JobEvent], keeps_jobs: bool) -> None:
        self._env = env
        self._events = events
        self._keeps_jobs = keeps_jobs
        self._outcomes: dict[int, Outcome] = {}

    async def record(self, connection: Connection, read_view: ViewReader) -> list[Outcome]:
        view = await read_view(connection, self._events)
        new = self._complete(view)
        recorded = await record_plan(connection, list(new.values()), plan_of(new.values(), view, self._env))
        failpoints.hit("trigger.report.before_commit")
        repeated: dict[int, NewEvent] = {}
        for place, event in new.items():
            if event.event_key in recorded.accepted:
                firings = recorded.fired.get(event.event_key, [])
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
            new[place] = NewEvent(UUID(new_id()), event, revision, view.now, self._env.max_depth, self._keeps_jobs)
        return new

    async def _recall(self, connection: Connection, repeated: dict[int, NewEvent]) -> None:
        """Answer repeats. Statements of their own: the one that met the originals does not see their firings."""
        originals = await event_store.find_originals(connection, [new.event for new in repeated.values()])
        keys = {original.event_key for original in originals if original.event_key is not None}
        firings = await firing_store.of_events(connection, keys)
        for (place, new), original in zip(repeated.items(), originals, strict=True):
            self._outcomes[place] = _answer_repeated(new, original, firings)


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
    return Report(Disposition.DUPLICATE, original.event_id, firings[original.event_key], original.is_purged)
