"""Why past events did or did not fire: by the configs of then, and never against what really happened."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.trigger.harness import Harness, configs, event, reason_of
from tests.support.db_clock import set_clock_offset
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls


async def explain(service: Harness, event_id: str, experiment_id: str = "e1", **paging: Any) -> dict[str, str]:
    """The verdicts by workflow."""
    request = calls.ExplainEventRequest(experiment_id=experiment_id, event_id=event_id, **paging)
    answer = await service.stub.ExplainEvent(request)
    return {decision.workflow_id: decision.verdict for decision in answer.decisions}


async def change(service: Harness, workflow_id: str, **enabled: dict[str, Any]) -> None:
    request = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(**enabled))
    await service.stub.UpdateTriggerConfigs(request)


async def pause(service: Harness, workflow_id: str, while_paused: str = "HOLD") -> None:
    await service.execute(
        "update trigger.workflows set paused = true, while_paused = $2 where workflow_id = $1",
        workflow_id,
        while_paused,
    )


async def move_clock(service: Harness, ahead: timedelta) -> None:
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", ahead)


async def test_every_verdict_can_be_told_of_a_past_event(service: Harness) -> None:
    soon = Timestamp()
    soon.FromSeconds(1)
    watches_elsewhere = {"source_experiment_ids": ["e2"]}
    expected = {
        await service.workflow(TRAIN={}): "MATCHED",
        await service.workflow(EVAL={}): "TRIGGER_DISABLED",
        await service.workflow(TRAIN=watches_elsewhere): "OTHER_EXPERIMENT",
        await service.workflow(TRAIN={"on_statuses": ["FAILED"]}): "STATUS_MISMATCH",
        await service.workflow(TRAIN={"job_name_pattern": "x*"}): "NAME_MISMATCH",
        await service.workflow(TRAIN={"condition": "job.attempt == 9"}): "CONDITION_FALSE",
        await service.workflow(TRAIN={"condition": "job.attributes.gone > 1"}): "CONDITION_ERROR",
        await service.workflow(TRAIN={"expire_time": soon}): "EXPIRED",
        (limited := await service.workflow(TRAIN={"max_firings": 1})): "LIMIT_REACHED",
        (rated := await service.workflow(TRAIN={"rate_limit": rate(1, 60)})): "RATE_LIMITED",
        (bouncing := await service.workflow(TRAIN={"debounce": quiet(60)})): "DEBOUNCED",
        (paused := await service.workflow(TRAIN={})): "PAUSED",
        (dropping := await service.workflow(TRAIN={})): "PAUSED",
        (gone := await service.workflow(TRAIN={})): "WORKFLOW_DELETED",
    }
    await service.report(job_id="first", event_id="first")
    await pause(service, paused)
    await pause(service, dropping, "DROP_AND_RECORD")
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=gone))
    await service.report(job_id="second", event_id="second")
    assert await explain(service, "second") == expected
    first = await explain(service, "first")
    assert {first[one] for one in (limited, rated, paused, dropping, gone)} == {"MATCHED"}
    assert first[bouncing] == "DEBOUNCED"
    await service.report(job_id="third", event_id="third", job_type="UNHEARD_OF")
    third = Counter((await explain(service, "third")).values())
    assert third == {"OTHER_TYPE": len(expected) - 1, "WORKFLOW_DELETED": 1}
    await service.report(job_id="deep", event_id="deep", causation=messages.Causation(depth=9))
    assert "LOOP_LIMIT" in (await explain(service, "deep")).values()


async def test_an_explanation_does_not_change_with_the_configs(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"condition": "job.attributes.acc > 0.5"})
    await service.report(job_id="a", event_id="a", attributes={"acc": 0.9})
    await service.report(job_id="b", event_id="b", attributes={"acc": 0.1})
    await change(service, workflow_id, TRAIN={"condition": "job.attributes.acc < 0.5"})
    await service.report(job_id="c", event_id="c", attributes={"acc": 0.9})
    await change(service, workflow_id)
    await service.report(job_id="d", event_id="d", attributes={"acc": 0.1})
    told = [(await explain(service, name))[workflow_id] for name in "abcd"]
    assert told == ["MATCHED", "CONDITION_FALSE", "CONDITION_FALSE", "TRIGGER_DISABLED"]
    answer = await service.stub.ExplainEvent(calls.ExplainEventRequest(experiment_id="e1", event_id="a"))
    assert answer.decisions[0].config.condition == "job.attributes.acc > 0.5"
    assert (answer.decisions[0].workflow_name, answer.decisions[0].event_id) == ("w", "a")


async def test_an_expiry_is_judged_by_the_time_of_the_match(service: Harness) -> None:
    in_an_hour = Timestamp()
    in_an_hour.FromDatetime(await service.value("select trigger.as_of() + interval '1 hour'"))
    workflow_id = await service.workflow(TRAIN={"expire_time": in_an_hour})
    await service.report(job_id="before", event_id="before")
    await move_clock(service, timedelta(hours=2))
    await service.report(job_id="after", event_id="after")
    assert (await explain(service, "before"))[workflow_id] == "MATCHED"
    assert (await explain(service, "after"))[workflow_id] == "EXPIRED"


async def test_a_held_match_is_paused_until_it_goes_on(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await pause(service, workflow_id)
    await service.report(event_id="held")
    assert (await explain(service, "held"))[workflow_id] == "PAUSED"
    await service.execute("update trigger.firings set state = 'QUEUED', held_by = ''")
    assert (await explain(service, "held"))[workflow_id] == "MATCHED"


async def test_workflows_that_foreign_sql_removed_are_still_explained(service: Harness) -> None:
    there, elsewhere = await service.workflow(TRAIN={}), await service.workflow(experiment_id="e2", TRAIN={})
    watching = await service.workflow(experiment_id="e2", EVAL={"source_experiment_ids": ["e1"]}, TRAIN={})
    await service.report(event_id="fired")
    await service.execute("delete from trigger.workflows")
    told = await explain(service, "fired")
    assert told == {there: "MATCHED", watching: "OTHER_EXPERIMENT"}
    assert elsewhere not in told


async def test_pages_of_an_explanation_hold_every_workflow_once(service: Harness) -> None:
    expected = sorted([await service.workflow(TRAIN={}) for _ in range(7)])
    await service.report(event_id="x", source="one")
    await service.report(event_id="x", source="two", job_id="other")
    found: list[str] = []
    token = ""
    while True:
        request = calls.ExplainEventRequest(experiment_id="e1", event_id="x", page_size=3, page_token=token)
        answer = await service.stub.ExplainEvent(request)
        found += [decision.workflow_id for decision in answer.decisions]
        await service.workflow(TRAIN={})
        token = answer.next_page_token
        if not token:
            break
    assert found == expected * 2
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.ExplainEvent(calls.ExplainEventRequest(experiment_id="e1", event_id="y", page_token="?"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_event_of_another_experiment_and_one_that_was_purged_are_not_found(service: Harness) -> None:
    await service.workflow(TRAIN={})
    await service.report(event_id="x")
    for experiment_id, purge in (("e2", False), ("e1", True)):
        if purge:
            await service.execute("update trigger.job_events set purge_time = trigger.stamp()")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await explain(service, "x", experiment_id)
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")
    with pytest.raises(grpc.aio.AioRpcError) as incomplete:
        await explain(service, "", "")
    assert incomplete.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_workflow_is_explained_newest_event_first_over_all_that_it_watched(service: Harness) -> None:
    await service.report(job_id="before it was there")
    workflow_id = await service.workflow(TRAIN={"source_experiment_ids": ["e1", "e2"]})
    await service.report(job_id="a", event_id="a")
    await service.report(job_id="b", event_id="b", experiment_id="e2", job_type="EVAL")
    await service.report(job_id="c", event_id="c", experiment_id="e3")
    await change(service, workflow_id, EVAL={})
    await service.report(job_id="d", event_id="d", experiment_id="e2")
    await service.report(job_id="e", event_id="e", job_type="EVAL")
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=workflow_id))
    await service.report(job_id="f", event_id="f", job_type="EVAL")
    told: list[tuple[str, str]] = []
    token = ""
    for _ in range(9):
        request = calls.ExplainWorkflowRequest(workflow_id=workflow_id, page_size=2, page_token=token)
        answer = await service.stub.ExplainWorkflow(request)
        told += [(decision.event_id, decision.verdict) for decision in answer.decisions]
        token = answer.next_page_token
        if not token:
            break
    assert told == [("f", "WORKFLOW_DELETED"), ("e", "MATCHED"), ("b", "OTHER_EXPERIMENT"), ("a", "MATCHED")]


async def test_a_workflow_of_another_experiment_is_not_explained(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    request = calls.ExplainWorkflowRequest(workflow_id=workflow_id, experiment_id="e2")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.ExplainWorkflow(request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_edits_racing_with_reports_never_make_an_explanation_disagree(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})

    async def edit() -> None:
        for number in range(30):
            await change(service, workflow_id, **({"TRAIN": {}} if number % 2 else {"EVAL": {}}))

    async def report(worker: int) -> None:
        for number in range(30):
            await service.report(job_id=f"{worker}-{number}", event_id=f"{worker}-{number}")

    await asyncio.gather(edit(), *(report(worker) for worker in range(4)))
    fired = {firing.event_id for firing in await service.firings(workflow_id, page_size=1000)}
    # What is kept of firings is taken away: what is left to answer is the matcher alone.
    await service.execute("delete from trigger.firings")
    answer = await service.stub.ExplainWorkflow(calls.ExplainWorkflowRequest(workflow_id=workflow_id, page_size=1000))
    assert len(answer.decisions) == 120
    assert {decision.event_id for decision in answer.decisions if decision.verdict == "MATCHED"} == fired
    assert 0 < len(fired) < 120


async def test_a_dry_run_counts_limits_and_pauses_and_leaves_no_trace(service: Harness) -> None:
    limited = await service.workflow(TRAIN={"max_firings": 1})
    free, paused = await service.workflow(TRAIN={}), await service.workflow(TRAIN={})
    await pause(service, paused)

    async def tried() -> dict[str, str]:
        request = calls.MatchJobEventRequest(event=event(job_id="new"), include_rejected=True)
        answer = await service.stub.MatchJobEvent(request)
        return {decision.workflow_id: decision.verdict for decision in answer.decisions}

    expected = {limited: "MATCHED", free: "MATCHED", paused: "PAUSED"}
    assert await tried() == expected
    assert await tried() == expected
    assert len((await service.report(job_id="real")).firings) == 3
    assert await tried() == expected | {limited: "LIMIT_REACHED"}
    assert await service.value("select count(*) from trigger.job_events") == 1


def rate(max_firings: int, seconds: int) -> messages.RateLimit:
    limit = messages.RateLimit(max_firings=max_firings)
    limit.window.FromSeconds(seconds)
    return limit


def quiet(seconds: int) -> messages.Debounce:
    debounce = messages.Debounce()
    debounce.quiet_period.FromSeconds(seconds)
    return debounce


async def test_a_number_that_only_a_double_can_hold_is_the_same_number_in_hindsight(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"condition": "type(job.attributes.x) == double"})
    await service.report(event_id="x", attributes={"x": 1e16})
    assert len(await service.firings(workflow_id)) == 1
    await service.execute("delete from trigger.firings")
    assert await explain(service, "x") == {workflow_id: "MATCHED"}
