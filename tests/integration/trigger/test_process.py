"""The service as a process: killed at each boundary between two commits, frozen, told to stop."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import pytest

from tests.integration.trigger.harness import configs, event, graph
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import Service, running
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

REPORT = calls.ReportJobEventRequest(event=event(event_id="ev"))


async def create(service: Service) -> str:
    request = calls.CreateWorkflowRequest(
        experiment_id="e1", name="w", graph=graph(), trigger_configs=configs(TRAIN={}), request_id="once"
    )
    return (await service.stub.CreateWorkflow(request)).workflow.workflow_id


async def dispatched(service: Service) -> messages.Firing | None:
    answer = await service.stub.ListFirings(calls.ListFiringsRequest())
    found = [firing for firing in answer.firings if firing.state == messages.FIRING_STATE_DISPATCHED]
    return found[0] if len(found) == len(answer.firings) == 1 else None


@pytest.mark.parametrize(
    ("failpoint", "times_sent"),
    [
        ("trigger.report.before_commit", 1),
        ("trigger.report.after_commit", 1),
        ("trigger.dispatch.leased", 1),
        ("trigger.dispatch.sent", 2),
        ("trigger.dispatch.recorded", 1),
    ],
)
async def test_a_kill_at_any_boundary_leaves_exactly_one_run(
    tmp_path: Path, trigger_dsn: str, peer: Peer, failpoint: str, times_sent: int
) -> None:
    async with running(tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT=failpoint) as doomed:
        await create(doomed)
        with suppress(grpc.aio.AioRpcError):  # the answer may or may not get out before the end
            await doomed.stub.ReportJobEvent(REPORT)
        assert await doomed.ended() == -signal.SIGKILL
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        again = await service.stub.ReportJobEvent(REPORT)
        lost = failpoint == "trigger.report.before_commit"
        assert again.disposition == (
            messages.REPORT_DISPOSITION_ACCEPTED if lost else messages.REPORT_DISPOSITION_DUPLICATE
        )
        firing = await eventually(lambda: dispatched(service), timeout=20)
    assert firing is not None
    assert peer.runs == {firing.firing_id: firing.run_id}
    assert peer.sent == times_sent


async def test_a_replica_takes_over_what_a_frozen_one_has_leased(tmp_path: Path, trigger_dsn: str, peer: Peer) -> None:
    async with running(
        tmp_path, trigger_dsn, peer.address, WAKEPOINT_FAILPOINT="trigger.dispatch.leased:stop"
    ) as frozen:
        await create(frozen)
        # The answer and the freeze may come in either order.
        call = asyncio.ensure_future(frozen.stub.ReportJobEvent(REPORT, timeout=2.0))
        (tmp_path / "other").mkdir()
        async with running(tmp_path / "other", trigger_dsn, peer.address) as other:
            with suppress(grpc.aio.AioRpcError):
                await call
            firing = await eventually(lambda: dispatched(other), timeout=20)
            frozen.process.send_signal(signal.SIGCONT)
            assert firing is not None
            await eventually(lambda: peer.sent == 2)
            await eventually(lambda: dispatched(other))
    assert peer.runs == {firing.firing_id: firing.run_id}


async def test_two_replicas_share_the_work_and_hand_each_firing_over_once(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    small = {"TRIGGER_DISPATCH_BATCH": "3"}
    async with (
        running(tmp_path / "a", trigger_dsn, peer.address, **small) as one,
        running(tmp_path / "b", trigger_dsn, peer.address, **small) as two,
    ):
        await create(one)
        events = [calls.ReportJobEventRequest(event=event(job_id=f"j{number}")) for number in range(60)]
        # Every event is reported to both, as a client does that lost the answer of the first.
        await asyncio.gather(*(replica.stub.ReportJobEvent(item) for item in events for replica in (one, two)))
        await eventually(lambda: len(peer.runs) == 60, timeout=20)
    assert peer.sent == 60


async def test_sigterm_ends_the_process_cleanly_and_loses_nothing(tmp_path: Path, trigger_dsn: str, peer: Peer) -> None:
    async with running(tmp_path, trigger_dsn, peer.address) as service:
        await create(service)
        await service.stub.ReportJobEvent(REPORT)
        service.process.terminate()
        assert await service.ended() == 0
    async with running(tmp_path, trigger_dsn, peer.address) as again:
        await eventually(lambda: dispatched(again))
    assert peer.sent == 1


async def test_the_process_serves_rest_and_its_management_port(tmp_path: Path, trigger_dsn: str, peer: Peer) -> None:
    async with running(tmp_path, trigger_dsn, peer.address) as service, httpx.AsyncClient() as client:
        blueprints = await client.get(f"{service.http}/workflows/trigger_blueprints")
        assert [item["trigger_type"] for item in blueprints.json()][:2] == ["TRAIN", "DOWNLOAD_MODEL"]
        ready = await client.get(f"{service.management}/readyz")
        assert ready.status_code == 200
        assert "wakepoint_runner_away 0.0" in (await client.get(f"{service.management}/metrics")).text


async def test_a_lease_that_is_shorter_than_a_call_is_refused_at_the_start(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    with pytest.raises(FileNotFoundError):
        async with running(
            tmp_path, trigger_dsn, peer.address, TRIGGER_DISPATCH_LEASE="1", TRIGGER_RUNNER_DEADLINE="5"
        ):
            raise AssertionError("it serves")
