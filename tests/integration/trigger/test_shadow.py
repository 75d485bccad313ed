"""TRIGGER_MODE=shadow: all is matched and recorded, nothing is carried out, not even later."""

from pathlib import Path

import asyncpg
import grpc
import pytest

from tests.integration.trigger.harness import event, reason_of
from tests.integration.trigger.peer import Peer
from tests.integration.trigger.process import running
from tests.integration.trigger.test_process import create
from tests.support.conditions import eventually
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


async def test_a_shadow_records_what_would_fire_and_a_later_live_service_does_not_carry_it_out(
    tmp_path: Path, trigger_dsn: str, peer: Peer
) -> None:
    connection = await asyncpg.connect(trigger_dsn)
    try:
        async with running(tmp_path, trigger_dsn, peer.address, TRIGGER_MODE="shadow") as shadow:
            workflow_id = await create(shadow)
            answer = await shadow.stub.ReportJobEvent(calls.ReportJobEventRequest(event=event()))
            assert [firing.held_by for firing in answer.firings] == ["SHADOW"]
            await connection.execute(
                "insert into trigger.jobs (experiment_id, job_id, job_type, status) "
                "values ('e1', 'sql', 'TRAIN', 'COMPLETE')"
            )
            await eventually(lambda: connection.fetchval("select count(*) = 2 from trigger.firings"))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await shadow.stub.RunWorkflow(calls.RunWorkflowRequest(workflow_id=workflow_id))
            assert reason_of(refused.value) == "SHADOW_MODE"
        async with running(tmp_path, trigger_dsn, peer.address) as live:
            await live.stub.ReportJobEvent(calls.ReportJobEventRequest(event=event(job_id="live")))
            await eventually(lambda: len(peer.runs) == 1)
            firings = (await live.stub.ListFirings(calls.ListFiringsRequest(workflow_id=workflow_id))).firings
        assert [firing.state for firing in firings[1:]] == [messages.FIRING_STATE_CANCELLED] * 2
        assert peer.sent == 1
    finally:
        await connection.close()
