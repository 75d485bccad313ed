"""The service killed at each new boundary between two commits: nothing is lost, doubled or left held for ever."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from tests.integration.trigger.harness import configs, event, graph
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import Service, running
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

SHORT = {"nanos": 200_000_000}


async def create(service: Service, **options: Any) -> str:
    request = calls.CreateWorkflowRequest(
        experiment_id="e1", name="w", graph=graph(), trigger_configs=configs(TRAIN=options), request_id="once"
    )
    return (await service.stub.CreateWorkflow(request)).workflow.workflow_id


async def report(service: Service, *names: str) -> None:
    for name in names:
        request = calls.ReportJobEventRequest(event=event(job_id=name, event_id=name))
        with suppress(grpc.aio.AioRpcError):  # the answer may or may not get out before the end
            await service.stub.ReportJobEvent(request)


async def firings(service: Service) -> list[messages.Firing]:
    return list((await service.stub.ListFirings(calls.ListFiringsRequest(page_size=1_000))).firings)


async def all_dispatched(service: Service, count: int) -> bool:
    found = await firings(service)
    return [firing.state for firing in found] == [messages.FIRING_STATE_DISPATCHED] * count


@pytest.mark.parametrize(
    ("failpoint", "option"),
    [
        ("trigger.release.before_commit", {"debounce": {"quiet_period": SHORT}}),
        ("trigger.release.after_commit", {"delay": SHORT}),
    ],
)
async def test_a_kill_while_releasing_leaves_one_run(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str, option: dict[str, Any]
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
        await create(doomed, **option)
        await report(doomed, "a")
        assert await doomed.ended() == -signal.SIGKILL
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        await eventually(lambda: all_dispatched(service, 1), timeout=20)
    assert peer.sent == len(peer.runs) == 1


async def test_a_kill_while_admitting_uses_no_limit_up(tmp_path: Path, trigger_dsn: str, peer: Peer) -> None:
    limited = {"max_firings": 2}
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT="trigger.report.admitted@2") as doomed:
        await create(doomed, **limited)
        await report(doomed, "a", "b")
        assert await doomed.ended() == -signal.SIGKILL
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        await report(service, "a", "b", "c")
        await eventually(lambda: all_dispatched(service, 2), timeout=20)
        assert {firing.event_id for firing in await firings(service)} == {"a", "b"}
    assert len(peer.runs) == 2


@pytest.mark.parametrize(
    "failpoint", ["trigger.pause.before_commit", "trigger.resume.before_commit", "trigger.resume.after_commit"]
)
async def test_a_kill_while_pausing_or_resuming_leaves_a_pause_or_none_and_never_half_of_one(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
        await create(doomed)
        await peer.go_away()
        await report(doomed, "a")
        with suppress(grpc.aio.AioRpcError):
            await doomed.stub.PauseTriggers(calls.PauseTriggersRequest(experiment_id="e1"))
            await doomed.stub.ResumeTriggers(calls.ResumeTriggersRequest(experiment_id="e1"))
        assert await doomed.ended() == -signal.SIGKILL
    await peer.come()
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        if failpoint == "trigger.resume.before_commit":
            await eventually(lambda: _is_held(service))
            await service.stub.ResumeTriggers(calls.ResumeTriggersRequest(experiment_id="e1"))
        await report(service, "b")
        await eventually(lambda: all_dispatched(service, 2), timeout=20)
    assert len(peer.runs) == 2


async def _is_held(service: Service) -> bool:
    found = await firings(service)
    assert [firing.held_by for firing in found] == ["PAUSE"], found
    return True


async def test_a_kill_between_counting_refusals_and_turning_off_turns_off_later(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    peer.refusal = lambda _request: Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="no")
    quick = {"TRIGGER_DISPATCH_FIRST_RETRY": "0.001", "TRIGGER_DISPATCH_LONGEST_RETRY": "0.002"}
    async with running(
        tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT="trigger.dispatch.recorded@5", **quick
    ) as doomed:
        workflow_id = await create(doomed)
        await report(doomed, "a")
        assert await doomed.ended() == -signal.SIGKILL
    async with running(tmp_path, trigger_dsn, peer.address) as service:

        async def is_off() -> bool:
            found = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
            return found.disabled_reason.startswith("the runner refused it 5 times in a row")

        await eventually(is_off, timeout=20)
        [firing] = await firings(service)
        assert firing.state == messages.FIRING_STATE_DEAD


async def test_two_replicas_release_and_admit_together(tmp_path: Path, trigger_dsn: str, peer: Peer) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running(tmp_path / "a", trigger_dsn, peer.address) as one,
        running(tmp_path / "b", trigger_dsn, peer.address) as two,
    ):
        await create(one, delay=SHORT, max_firings=40)
        names = [f"j{number}" for number in range(60)]
        await asyncio.gather(*(report(replica, name) for name in names for replica in (one, two)))
        await eventually(lambda: len(peer.runs) == 40, timeout=20)
        await eventually(lambda: all_dispatched(one, 40), timeout=20)
    assert peer.sent == 40
