"""WakeUp: by run, or by workflow when exactly one of its runs is unfinished."""

from dataclasses import dataclass

from runner_service.domain.runs import Disposition
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, Address, TriggerEvent, faults_of, size_of
from runner_service.domain.validation import MAX_ID_LENGTH
from runner_service.storage import inbox, runs
from runner_service.usecases.deliver_events import Wake, WakeResult, deliver_events
from runner_service.usecases.signals import Signals
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import FieldViolation, Violations
from wakepoint.chassis.ids import is_id
from wakepoint.chassis.protojson import check_text


@dataclass(frozen=True, slots=True)
class WakeUpRequest:
    """Either `run_id` or `workflow_id` is given. `experiment_id` None: any.

    `faults`: what was found wrong while the request was read; the caller is told all of it at once.
    """

    node_id: str
    event: TriggerEvent
    run_id: str = ""
    workflow_id: str = ""
    experiment_id: str | None = None
    faults: tuple[FieldViolation, ...] = ()


async def wake_up(database: Database, signals: Signals, request: WakeUpRequest) -> WakeResult:
    """Deliver one event; every case a well-formed request can meet is a disposition. InvalidArgument for any other."""
    _check(request)
    if (size := size_of(request.event)) > MAX_EVENT_BYTES:
        text = f"the event has {size} bytes, more than {MAX_EVENT_BYTES}: pass a URI instead"
        return WakeResult(Disposition.TOO_LARGE, request.run_id, message=text)
    chosen = await _choose_run(database, request)
    if isinstance(chosen, WakeResult):
        return chosen
    (result,) = await deliver_events(database, signals, [Wake(Address(chosen, request.node_id), request.event)])
    return WakeResult(result.disposition, result.run_id, result.inbox_seq, _explain(result, request))


def _check(request: WakeUpRequest) -> None:
    violations = Violations()
    if bool(request.run_id) == bool(request.workflow_id):
        violations.add("run_id", "either run_id or workflow_id must be set, and not both")
    if not request.node_id:
        violations.add("node_id", "must not be empty")
    for name in ("run_id", "workflow_id", "node_id", "experiment_id"):
        text = getattr(request, name) or ""
        check_text(text, name, violations)
        if len(text) > MAX_ID_LENGTH:
            violations.add(name, f"must have at most {MAX_ID_LENGTH} characters")
    check_text(request.event.as_node_sees_it(), "event", violations)
    violations.extend(faults_of(request.event))
    violations.extend(request.faults)
    violations.raise_if_any()


async def _choose_run(database: Database, request: WakeUpRequest) -> str | WakeResult:
    if request.run_id:
        return await _of_experiment(database, request)
    async with database.transaction() as connection:
        candidates = await inbox.find_unfinished_runs(connection, request.workflow_id, request.experiment_id)
        key = inbox.ChoiceKey(
            request.experiment_id or "",
            request.workflow_id,
            request.node_id,
            request.event.source,
            request.event.event_id,
        )
        known = await inbox.get_choice(connection, key)
        if known is None and len(candidates) == 1:
            await inbox.choose_run(connection, key, candidates[0])
            known = await inbox.get_choice(connection, key)
    if known is not None:
        return known
    if not candidates:
        return WakeResult(Disposition.NO_SUCH_RUN, "", message=f"workflow {request.workflow_id} has no unfinished run")
    listed = ", ".join(candidates)
    return WakeResult(
        Disposition.AMBIGUOUS, "", message=f"workflow {request.workflow_id} has several unfinished runs: {listed}"
    )


async def _of_experiment(database: Database, request: WakeUpRequest) -> str | WakeResult:
    missing = WakeResult(Disposition.NO_SUCH_RUN, request.run_id, message=f"run {request.run_id} does not exist")
    if not is_id(request.run_id):
        return missing
    run_id = request.run_id.lower()
    if request.experiment_id is None:
        return run_id
    async with database.connection() as connection:
        found = (await runs.get_runs(connection, [run_id])).get(run_id)
    return run_id if found and found.experiment_id == request.experiment_id else missing


def _explain(result: WakeResult, request: WakeUpRequest) -> str:
    node, run = request.node_id, result.run_id
    texts = {
        Disposition.DELIVERED: f"node {node} of run {run} goes on",
        Disposition.BUFFERED: f"kept until node {node} of run {run} waits for it",
        Disposition.DUPLICATE: f"node {node} of run {run} has this event already",
        Disposition.EXPIRED: "the event's expire_time has passed",
        Disposition.FINISHED: f"node {node} of run {run} takes no more events",
        Disposition.NO_SUCH_RUN: f"run {run} does not exist",
        Disposition.NO_SUCH_NODE: f"run {run} has no node {node}",
        Disposition.INBOX_FULL: f"node {node} of run {run} has too many pending events",
    }
    return texts.get(result.disposition, "")
