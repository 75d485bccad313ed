"""Give trigger events to nodes: lock the runs, then decide, then write events and wakings together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from runner_service.domain.history import Line, run_queued, trigger_event_received
from runner_service.domain.projection import RunState
from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import Address, NodeFacts, RunFacts, TriggerEvent, disposition_of
from runner_service.storage import inbox, runs
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Wake:
    """An event for a node. `line` is what the log says of it, if it is not just an event that was received.

    `in_time`: it was promised before its `expire_time`; if that has passed since, it expires in the inbox, where one
    can see it.
    """

    address: Address
    event: TriggerEvent
    line: Line | None = None
    in_time: bool = False


@dataclass(frozen=True, slots=True)
class WakeResult:
    """`inbox_seq` is 0 unless the event was accepted by this call."""

    disposition: Disposition
    run_id: str
    inbox_seq: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a transaction of deliveries did, for the signals after its commit."""

    results: list[WakeResult]
    woken: bool
    held: frozenset[str]
    touched: frozenset[str]

    def announce(self, signals: Signals) -> None:
        """Tell the replicas; only after the commit."""
        if self.woken:
            signals.runs_ready()
        if self.held:
            signals.inbox_changed(self.held)
        for run_id in self.touched:
            signals.log_grew(run_id)


@dataclass(slots=True)
class _Batch:
    """What one run gets in this transaction; its sequence goes on from the locked row."""

    inbox_seq: int
    wake: bool = False
    priority: int = 0
    lines: list[Line] = field(default_factory=list)
    events: list[inbox.NewInboxEvent] = field(default_factory=list)


async def deliver_events(database: Database, signals: Signals, wakes: Sequence[Wake]) -> list[WakeResult]:
    """Deliver the events in one transaction; results in the order of `wakes`."""
    delivered = await database.run(lambda connection: deliver(connection, wakes))
    delivered.announce(signals)
    return delivered.results


async def deliver(connection: Connection, wakes: Sequence[Wake]) -> Delivered:
    """Deliver within the caller's transaction."""
    locked = await runs.lock_runs(connection, sorted({wake.address.run_id for wake in wakes}))
    return await deliver_to_locked(connection, wakes, locked)


async def deliver_to_locked(
    connection: Connection, wakes: Sequence[Wake], locked: dict[str, runs.LockedRun]
) -> Delivered:
    """Deliver to runs that this transaction has locked already; runs that are not in `locked` do not exist."""
    facts, expired = await _facts(connection, [wake for wake in wakes if wake.address.run_id in locked])
    known = await inbox.read_known_events(connection, [_identity(wake) for wake in wakes])
    batches: dict[str, _Batch] = {}
    results = []
    for wake in wakes:
        run = locked.get(wake.address.run_id)
        disposition = disposition_of(
            RunFacts(run.state, run.closed_nodes) if run else None,
            facts.get(wake.address),
            wake.address.node_id,
            known=_identity(wake) in known,
            expired=_identity(wake) in expired,
        )
        inbox_seq = 0
        if run is not None and disposition in (Disposition.DELIVERED, Disposition.BUFFERED):
            batch = batches.setdefault(run.run_id, _Batch(run.last_inbox_seq))
            inbox_seq = _accept(batch, wake, run, wakes_node=disposition is Disposition.DELIVERED)
            batch.priority = max(batch.priority, wake.event.priority, facts[wake.address].priority)
            facts[wake.address].pending += 1
            known.add(_identity(wake))
        results.append(WakeResult(disposition, wake.address.run_id, inbox_seq))
    await _write(connection, batches)
    return _outcome(results, batches, locked)


async def _facts(
    connection: Connection, wakes: Sequence[Wake]
) -> tuple[dict[Address, NodeFacts], set[tuple[Address, str, str]]]:
    addresses = list(dict.fromkeys(wake.address for wake in wakes))
    rows = await inbox.read_addresses(connection, addresses)
    facts = {
        a: NodeFacts(exists=r.exists, waiting=r.waiting, pending=r.pending, priority=r.priority)
        for a, r in rows.items()
    }
    late = {
        _identity(wake)
        for wake in wakes
        if not wake.in_time
        and wake.event.expire_time is not None
        and wake.event.expire_time <= rows[wake.address].as_of
    }
    return facts, late


def _accept(batch: _Batch, wake: Wake, run: runs.LockedRun, *, wakes_node: bool) -> int:
    batch.inbox_seq += 1
    batch.events.append(inbox.NewInboxEvent(batch.inbox_seq, wake.address.node_id, wake.event))
    batch.lines.append(
        wake.line
        or trigger_event_received(wake.address.node_id, batch.inbox_seq, wake.event.source, wake.event.event_id)
    )
    if wakes_node and run.state is RunState.SUSPENDED:
        if not batch.wake:
            batch.lines.append(run_queued(f"an event for {wake.address.node_id} came"))
        batch.wake = True
    return batch.inbox_seq


async def _write(connection: Connection, batches: dict[str, _Batch]) -> None:
    deliveries = [
        inbox.Delivery(run_id, batch.wake, batch.priority, batch.lines, batch.events)
        for run_id, batch in batches.items()
    ]
    if deliveries:
        await inbox.record_deliveries(connection, deliveries)


def _outcome(results: list[WakeResult], batches: dict[str, _Batch], locked: dict[str, runs.LockedRun]) -> Delivered:
    return Delivered(
        results=results,
        woken=any(batch.wake for batch in batches.values()),
        held=frozenset(run_id for run_id in batches if locked[run_id].state is RunState.RUNNING),
        touched=frozenset(batches),
    )


def _identity(wake: Wake) -> tuple[Address, str, str]:
    return wake.address, wake.event.source, wake.event.event_id
