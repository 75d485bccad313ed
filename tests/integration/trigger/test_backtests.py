"""What changed configs would have done with past events, and how triggers fared."""

import itertools
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from tests.integration.trigger.harness import Harness, configs, faults_of, reason_of
from tests.support.db_clock import set_clock_offset
from trigger_service.usecases import past_events
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls
from wakepoint.workflow.v1 import execution_pb2 as execution

LONG_AGO = Timestamp(seconds=1_000_000_000)


async def backtest(service: Harness, workflow_id: str, **enabled: dict[str, Any]) -> calls.BacktestTriggersResponse:
    return await service.stub.BacktestTriggers(
        calls.BacktestTriggersRequest(workflow_id=workflow_id, configs=configs(**enabled), start_time=LONG_AGO)
    )


async def fail_run(service: Harness, firing: messages.Firing) -> None:
    result = calls.RunResult(firing_id=firing.firing_id, run_id="r", state=execution.RUN_STATE_FAILED, attempt=1)
    await service.stub.ReportRunStates(calls.ReportRunStatesRequest(results=[result]))


def events_of(decisions: Any) -> list[str]:
    return [decision.event_id for decision in decisions]


async def test_a_backtest_says_what_would_fire_what_no_longer_and_what_newly(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"condition": "job.attributes.acc > 0.5"})
    for job_id, accuracy in (("low", 0.1), ("middle", 0.6), ("high", 0.9)):
        await service.report(job_id=job_id, event_id=job_id, attributes={"acc": accuracy})
    await service.report(job_id="e", event_id="evaluated", job_type="EVAL")
    await service.report(job_id="x", event_id="elsewhere", experiment_id="e2", attributes={"acc": 0.9})
    fired = {firing.event_id: firing for firing in await service.firings(workflow_id)}
    await fail_run(service, fired["high"])
    found = await backtest(
        service,
        workflow_id,
        TRAIN={"condition": "job.attributes.acc > 0.8", "source_experiment_ids": ["e1", "e2"]},
        EVAL={},
    )
    assert events_of(found.would_fire) == ["high", "evaluated", "elsewhere"]
    assert events_of(found.newly) == ["evaluated", "elsewhere"]
    assert events_of(found.no_longer) == ["middle"]
    assert found.no_longer[0].verdict == "CONDITION_FALSE"
    assert found.would_fire[0].detail == "it fired, and its run FAILED"
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    assert read.trigger_configs[0].condition == "job.attributes.acc > 0.5"


async def test_turning_everything_off_would_lose_every_firing(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={}, EVAL={})
    await service.report(job_id="a", event_id="a")
    await service.report(job_id="b", event_id="b", job_type="EVAL")
    found = await backtest(service, workflow_id)
    assert not found.would_fire
    assert [(item.event_id, item.verdict) for item in found.no_longer] == [
        ("a", "TRIGGER_DISABLED"),
        ("b", "TRIGGER_DISABLED"),
    ]


async def test_limits_and_quiet_periods_count_in_a_backtest_as_they_do_in_earnest(service: Harness) -> None:
    debounce = messages.Debounce()
    debounce.quiet_period.FromSeconds(60)
    limit = messages.RateLimit(max_firings=2)
    limit.window.FromSeconds(3600)
    options: list[dict[str, Any]] = [{"max_firings": 3}, {"rate_limit": limit}, {"debounce": debounce}]
    real = [await service.workflow(TRAIN=chosen) for chosen in options]
    trial = await service.workflow()
    for number, minutes in enumerate((0, 0.5, 1, 10, 70, 71.5)):
        await _move_clock(service, timedelta(minutes=minutes))
        await service.execute(
            "select trigger.release(array(select firing_id from trigger.firings "
            "where held_by = 'DEBOUNCE' and next_attempt_time <= trigger.as_of()))"
        )
        await service.report(job_id=f"j{number}", event_id=f"j{number}")
    for workflow_id, chosen in zip(real, options, strict=True):
        fired = sorted(firing.event_id for firing in await service.firings(workflow_id))
        assert events_of((await backtest(service, trial, TRAIN=chosen)).would_fire) == fired
    assert events_of((await backtest(service, trial, TRAIN=options[2])).would_fire) == ["j2", "j3", "j4", "j5"]


async def test_a_backtest_refuses_what_it_cannot_try(service: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow_id = await service.workflow()
    with pytest.raises(grpc.aio.AioRpcError) as bad:
        await backtest(service, workflow_id, TRAIN={"condition": "((("})
    assert [field for field, _ in faults_of(bad.value)] == ["configs[0].condition"]
    with pytest.raises(grpc.aio.AioRpcError) as endless:
        await service.stub.BacktestTriggers(
            calls.BacktestTriggersRequest(workflow_id=workflow_id, configs=configs(TRAIN={}))
        )
    assert [field for field, _ in faults_of(endless.value)] == ["start_time"]
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await backtest(service, "nobody", TRAIN={})
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    for job_id in ("a", "b"):
        await service.report(job_id=job_id)
    monkeypatch.setattr(past_events, "MAX_EVENTS", 1)
    assert not (await backtest(service, workflow_id, EVAL={})).would_fire
    with pytest.raises(grpc.aio.AioRpcError) as too_many:
        await backtest(service, workflow_id, TRAIN={})
    assert reason_of(too_many.value) == "TOO_MANY_EVENTS"


async def stats(service: Harness, workflow_id: str, **spans: float) -> calls.GetTriggerStatsResponse:
    request = calls.GetTriggerStatsRequest(workflow_id=workflow_id)
    for name, seconds in spans.items():
        span: Duration = getattr(request, name)
        span.SetInParent()
        span.FromMicroseconds(round(seconds * 1e6))
    return await service.stub.GetTriggerStats(request)


async def test_statistics_count_what_came_matched_and_became_of_it_in_buckets(service: Harness) -> None:
    workflow_id = await service.workflow(
        TRAIN={"source_experiment_ids": ["e1", "e2"]}, EVAL={"on_statuses": ["FAILED"]}
    )
    service.peer.refusal = lambda request: Status(code=3, message="no") if request.source.event_id == "dead" else None
    await service.report(job_id="old", event_id="old")
    await service.dispatcher().dispatch_once()
    await _move_clock(service, timedelta(hours=30))
    await service.report(job_id="a", event_id="a", experiment_id="e2")
    await service.report(job_id="r", event_id="r", status="RUNNING")
    await service.report(job_id="e", event_id="e", job_type="EVAL")
    await _move_clock(service, timedelta(hours=31, minutes=30))
    await service.report(job_id="dead", event_id="dead")
    await service.report(job_id="unseen", experiment_id="e3")
    await service.dispatcher().dispatch_once()
    await service.execute("update trigger.firings set state = 'DEAD' where event_id = 'dead'")
    for firing in await service.firings(workflow_id):
        if firing.event_id == "a":
            await fail_run(service, firing)
    train, *_, evaluated, _ = (await stats(service, workflow_id)).types
    assert [train.trigger_type, evaluated.trigger_type] == ["TRAIN", "EVAL"]
    assert counts(train) == (3, 2, 1, 1, 1)
    assert counts(evaluated) == (1, 0, 0, 0, 0)
    assert not evaluated.HasField("last_fired_time")
    assert len(train.buckets) == 24
    assert [counts(bucket) for bucket in train.buckets[-2:]] == [(2, 1, 1, 0, 1), (1, 1, 0, 1, 0)]
    assert {second.start_time.seconds - first.start_time.seconds for first, second in pairs(train.buckets)} == {3600}
    wide = (await stats(service, workflow_id, window=100 * 3600, bucket=100 * 3600)).types[0]
    assert (counts(wide), len(wide.buckets)) == ((4, 3, 2, 1, 1), 1)
    narrow = (await stats(service, workflow_id, window=0.5)).types[0]
    assert len(narrow.buckets) == 1
    assert narrow.last_fired_time == train.last_fired_time


@pytest.mark.parametrize(
    ("spans", "field"),
    [
        ({"window": 0}, "window"),
        ({"window": -5}, "window"),
        ({"window": 4_000 * 86_400}, "window"),
        ({"bucket": 0}, "bucket"),
        ({"bucket": -1}, "bucket"),
        ({"window": 60, "bucket": 61}, "bucket"),
        ({"window": 1_001, "bucket": 1}, "bucket"),
        ({"window": 10_000_000}, "bucket"),
    ],
)
async def test_spans_that_make_no_sense_are_refused_by_name(
    service: Harness, spans: dict[str, float], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stats(service, await service.workflow(), **spans)
    assert field in {name for name, _ in faults_of(refused.value)}


async def test_statistics_of_an_unknown_workflow_are_not_found(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stats(service, "nobody")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def counts(item: Any) -> tuple[int, int, int, int, int]:
    return (item.events, item.matched, item.dispatched, item.dead, item.runs_failed)


def pairs(items: Any) -> Any:
    return itertools.pairwise(items)


async def _move_clock(service: Harness, ahead: timedelta) -> None:
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", ahead)
