"""ReplayEvents: past events matched again, by the configs of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from trigger_service.domain.explaining import PastEvent
from trigger_service.domain.firings import Firing
from trigger_service.domain.limits import id_problem
from trigger_service.storage import events as event_store
from trigger_service.storage import replays, workflows
from trigger_service.storage.events import NewEvent
from trigger_service.storage.explanations import Stretch
from trigger_service.storage.replays import Earlier, Pair
from trigger_service.usecases.environment import Environment, known_id, not_found
from trigger_service.usecases.past_events import check_range, walk
from trigger_service.usecases.record_matches import Plan, plan_of
from trigger_service.usecases.requests import RequestKey
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument, Violations
from wakepoint.chassis.ids import new_id

MAX_FIRINGS = 5_000


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Events of an experiment in [start, end), for one workflow if one is given. `force`: also where they fired."""

    experiment_id: str
    start: datetime | None
    end: datetime | None
    workflow_id: str
    force: bool
    request_id: str
    dry_run: bool

    def key(self) -> RequestKey:
        """What makes a repetition of this request recognisable."""
        body = {
            "start": str(self.start),
            "end": str(self.end),
            "workflow_id": self.workflow_id,
            "force": self.force,
        }
        return RequestKey.of(self.experiment_id, "ReplayEvents", self.request_id, body)


class _Undo(Exception):
    """Leaves a transaction without a trace, taking along what it would have made."""

    def __init__(self, firings: Sequence[Firing]) -> None:
        self.firings = firings
        super().__init__()


async def replay_events(env: Environment, request: ReplayRequest) -> Sequence[Firing]:
    """New firings for what past events should have fired by the configs, pauses and limits of now, and never did.

    All or nothing. The same request_id fires nothing more and answers with what the first call made. A dry run does it
    all and takes it back. InvalidArgument: a faulty or too large range, a force without a request_id. NotFound.
    """
    start = _check(request)
    only = known_id(request.workflow_id, "workflow") if request.workflow_id else None
    replay = _Replay(env, request, start, only)
    try:
        fired = await env.database.run(replay.carry_out)
    except _Undo as undone:
        return undone.firings
    if fired:
        env.firings_due()
    return fired


def _check(request: ReplayRequest) -> datetime:
    faults = Violations()
    for field, text, required in (
        ("experiment_id", request.experiment_id, True),
        ("request_id", request.request_id, request.force and not request.dry_run),
    ):
        problem = id_problem(text, required=required)
        if problem is not None:
            faults.add(field, problem)
    try:
        start = check_range(request.start, request.end)
    except InvalidArgument as error:
        faults.extend(error.violations)
        raise InvalidArgument.from_violations(faults) from None
    faults.raise_if_any()
    return start


@dataclass(frozen=True, slots=True)
class _Replay:
    env: Environment
    request: ReplayRequest
    start: datetime
    only: UUID | None

    async def carry_out(self, connection: Connection) -> Sequence[Firing]:
        replay_id = UUID(new_id())
        if not self.request.dry_run:
            standing = await self.request.key().claim(connection, replay_id)
            if standing != replay_id:
                return await replays.firings_of(connection, standing)
        if self.only is not None and await workflows.get(connection, self.only) is None:
            raise not_found(self.request.workflow_id, "workflow")
        await replays.lock_experiment(connection, self.request.experiment_id)
        meant: list[UUID] = []
        stretch = Stretch(self.request.experiment_id, self.start, self.request.end, self.env.blueprints.types)
        async for batch in walk(connection, [stretch]):
            meant += await self._fire(connection, batch)
            if len(meant) > MAX_FIRINGS:
                raise InvalidArgument.of(
                    "end_time",
                    f"the range would fire more than {MAX_FIRINGS} times: make it shorter",
                    reason="TOO_MANY_FIRINGS",
                )
        await replays.mark(connection, replay_id, meant)
        made = await replays.firings_of(connection, replay_id)
        if self.request.dry_run:
            raise _Undo(made)
        return made

    async def _fire(self, connection: Connection, batch: Sequence[PastEvent]) -> list[UUID]:
        """What a batch brings about, by the way that every report goes."""
        view = await event_store.match_view(connection, [past.event for past in batch])
        events = [NewEvent(past.event_key, past.event, past.revision, view.now, self.env.max_depth) for past in batch]
        earlier = await replays.earlier_matches(connection, [past.event_key for past in batch])
        plan = self._chosen(plan_of(events, view, self.env), earlier)
        return await replays.record(connection, earlier, plan.firings, plan.admissions, plan.decisions)

    def _chosen(self, plan: Plan, earlier: dict[Pair, Earlier]) -> Plan:
        def is_wanted(event_key: UUID, workflow_id: UUID) -> bool:
            standing = earlier.get((event_key, workflow_id))
            is_new = self.request.force or standing is None or not standing.has_fired
            return is_new and self.only in {None, workflow_id}

        return Plan(
            [new for new in plan.firings if is_wanted(new.event_key, new.workflow_id)],
            [new for new in plan.admissions if is_wanted(new.event_key, new.workflow_id)],
            [new for new in plan.decisions if is_wanted(new.event_key, new.workflow_id)],
        )
