"""What nobody should send trigger_service: over gRPC, and over REST alike."""

import time
from typing import Any

import pytest

from tests.integration.rest.sides import Answer, TriggerSides
from tests.integration.trigger.harness import TYPES

LONG_AGO = "2026-01-01T00:00:00Z"
ELSEWHERE = {"experiment_id": "elsewhere"}
ALL_OFF: list[dict[str, Any]] = [{"trigger_type": kind, "is_enabled": False} for kind in TYPES]


async def both(trigger: TriggerSides, method: str, fields: dict[str, Any]) -> Answer:
    """The answer, which is the same both ways."""
    message = trigger.message(method, fields)
    by_grpc = await trigger.over_grpc(method, message)
    assert await trigger.over_http(method, message) == by_grpc
    return by_grpc


def fields_of(answer: Answer) -> list[str]:
    [violations] = [detail["field_violations"] for detail in answer.content["details"] if "field_violations" in detail]
    return [violation["field"] for violation in violations]


def of_size(size: int) -> dict[str, Any]:
    return {"nodes": [{"id": "n", "type": "Constant", "properties": {"value": "x" * size}}]}


@pytest.mark.parametrize("method", ["CreateWorkflow", "UpdateWorkflow"])
async def test_a_graph_beyond_the_bound_is_named_and_the_runner_not_asked(trigger: TriggerSides, method: str) -> None:
    workflow_id, asked = await trigger.harness.workflow(), trigger.harness.peer.validated
    for graph in (of_size(1_200_000), {"nodes": [{"id": str(n), "type": "Constant"} for n in range(100_000)]}):
        fields: dict[str, Any] = {"experiment_id": "e1", "name": "w", "graph": graph}
        if method == "UpdateWorkflow":
            fields = {"workflow": {"workflow_id": workflow_id, "graph": graph}}
        answer = await trigger.over_grpc(method, trigger.message(method, fields))
        assert (answer.code, [name.removeprefix("workflow.") for name in fields_of(answer)]) == (3, ["graph"])
    assert trigger.harness.peer.validated == asked
    assert await trigger.harness.value("select count(*) from trigger.workflows") == 1


async def test_a_graph_of_ten_megabytes_is_turned_away_whole(trigger: TriggerSides) -> None:
    fields = {"experiment_id": "e1", "name": "w", "graph": of_size(10_000_000)}
    answer = await trigger.stub.CreateWorkflow(trigger.message("CreateWorkflow", fields)).code()
    assert answer.name == "RESOURCE_EXHAUSTED"
    response = await trigger.http.post("/v1/workflows", json=fields)
    assert response.status_code == 413
    assert await trigger.harness.value("select count(*) from trigger.workflows") == 0


@pytest.mark.parametrize(
    ("method", "fields", "named"),
    [
        ("CreateWorkflow", {"experiment_id": "a\0", "name": "\0"}, ["experiment_id", "name"]),
        ("GetWorkflow", {"workflow_id": "x", "experiment_id": "\0"}, ["experiment_id"]),
        ("UpdateWorkflow", {"workflow": {"workflow_id": "x", "experiment_id": "\0"}}, ["workflow.experiment_id"]),
        (
            "BatchUpdateTriggerConfigs",
            {"experiment_id": "\0", "trigger_type": "\0", "is_enabled": True},
            ["experiment_id", "trigger_type"],
        ),
        ("ReportJobEvent", {"event": {"job_id": "\0", "job_name": "\0"}}, None),
        ("ExplainEvent", {"experiment_id": "e1", "event_id": "\0"}, ["event_id"]),
        ("PauseTriggers", {"experiment_id": "\0"}, ["experiment_id"]),
        ("ReplayEvents", {"experiment_id": "\0", "start_time": LONG_AGO}, ["experiment_id"]),
    ],
)
async def test_a_nul_is_refused_by_name(
    trigger: TriggerSides, method: str, fields: dict[str, Any], named: list[str] | None
) -> None:
    answer = await both(trigger, method, fields)
    assert answer.code == 3
    assert named is None or sorted(fields_of(answer)) == named


async def test_lone_surrogates_which_only_json_can_say_are_refused_by_name(trigger: TriggerSides) -> None:
    for path, content in {
        "/v1/job-events": '{"experiment_id": "e1", "job_id": "\\ud800", "job_type": "TRAIN", "status": "COMPLETE"}',
        "/v1/workflows": '{"experiment_id": "e1", "name": "\\udfff"}',
    }.items():
        response = await trigger.http.post(path, content=content, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (400, 3), response.text
    assert await trigger.harness.value("select count(*) from trigger.job_events") == 0


async def test_conditions_and_globs_that_would_run_for_ever_hold_nobody_up(trigger: TriggerSides) -> None:
    nested = "job.attributes.a.all(x, job.attributes.a.all(y, job.attributes.a.all(z, x + y + z >= 0)))"
    costly = await trigger.harness.workflow(name="costly", TRAIN={"condition": nested})
    globbed = await trigger.harness.workflow(name="globbed", TRAIN={"job_name_pattern": "*a" * 127})
    plain = await trigger.harness.workflow(name="plain", TRAIN={})
    began = time.process_time()
    report = await trigger.harness.report(
        event_id="big", job_name="a" * 1_000 + "b", attributes={"a": list(range(20_000))}
    )
    assert time.process_time() - began < 5
    assert [firing.workflow_id for firing in report.firings] == [plain]
    answer = await both(trigger, "ExplainEvent", {"experiment_id": "e1", "event_id": "big"})
    verdicts = {item["workflow_name"]: item["verdict"] for item in answer.content["decisions"]}
    assert verdicts == {"costly": "CONDITION_ERROR", "globbed": "NAME_MISMATCH", "plain": "MATCHED"}
    assert costly != globbed
    for option in ({"condition": "(" * 5_000}, {"condition": "x" * 1_000_000}, {"job_name_pattern": "*" * 10_000}):
        given = {"workflow_id": plain, "configs": [{**ALL_OFF[0], **option}, *ALL_OFF[1:]]}
        assert fields_of(await both(trigger, "UpdateTriggerConfigs", given)) == [f"configs[0].{next(iter(option))}"]


async def test_a_page_token_of_another_query_is_refused(trigger: TriggerSides) -> None:
    made = [await trigger.harness.workflow(name=f"w{number}", TRAIN={}) for number in range(2)]
    for job_id in ("a", "b"):
        await trigger.harness.report(job_id=job_id, event_id=job_id)
    queries: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("ListWorkflows", {"experiment_id": "e1"}, {"trigger_type": "TRAIN"}),
        ("ListFirings", {"experiment_id": "e1"}, {"states": ["FIRING_STATE_QUEUED"]}),
        ("ExplainEvent", {"experiment_id": "e1", "event_id": "a"}, {"event_id": "b"}),
        ("ExplainWorkflow", {"workflow_id": made[0]}, {"workflow_id": made[1]}),
    ]
    tokens = []
    for method, query, _ in queries:
        page = await getattr(trigger.stub, method)(trigger.message(method, {**query, "page_size": 1}))
        tokens.append(page.next_page_token)
    assert all(tokens)
    for number, (method, query, other) in enumerate(queries):
        for fields in ({**query, **other, "page_token": tokens[number]}, {**query, "page_token": tokens[number - 1]}):
            assert fields_of(await both(trigger, method, fields)) == ["page_token"]


async def test_what_belongs_to_another_experiment_is_not_found_and_nothing_of_it_is_told(trigger: TriggerSides) -> None:
    workflow_id = await trigger.harness.workflow(name="secret", TRAIN={})
    [firing] = (await trigger.harness.report(event_id="hidden")).firings
    named = {"workflow_id": workflow_id, **ELSEWHERE}
    calls: dict[str, dict[str, Any]] = {
        "GetWorkflow": named,
        "DeleteWorkflow": named,
        "RunWorkflow": named,
        "UpdateWorkflow": {"workflow": {"workflow_id": workflow_id, "name": "x"}, **ELSEWHERE},
        "UpdateTriggerConfigs": {**named, "configs": ALL_OFF},
        "BatchUpdateTriggerConfigs": {
            **ELSEWHERE,
            "workflow_ids": [workflow_id],
            "trigger_type": "TRAIN",
            "is_enabled": False,
        },
        "ExplainEvent": {**ELSEWHERE, "event_id": "hidden"},
        "ExplainWorkflow": named,
        "BacktestTriggers": {**named, "configs": ALL_OFF, "start_time": LONG_AGO},
        "GetTriggerStats": named,
        "RetryFiring": {"firing_id": firing.firing_id, **ELSEWHERE},
        "CancelFiring": {"firing_id": firing.firing_id, **ELSEWHERE},
        "PauseTriggers": named,
        "ResumeTriggers": named,
    }
    for method, fields in calls.items():
        answer = await both(trigger, method, fields)
        assert answer.code == 5, (method, answer)
        assert "secret" not in str(answer.content)
    # The events are those of the experiment named; a workflow may watch several, and is no key to the others' events.
    replay = {**named, "start_time": LONG_AGO, "dry_run": True}
    assert not (await both(trigger, "ReplayEvents", replay)).content["firings"]
    assert not (await both(trigger, "ListFirings", named)).content["firings"]
    assert not (await both(trigger, "ListWorkflows", ELSEWHERE)).content["workflows"]
    [kept] = await trigger.harness.firings(workflow_id)
    assert kept == firing


async def test_negative_spans_are_refused_by_name(trigger: TriggerSides) -> None:
    workflow_id = await trigger.harness.workflow()
    options: list[dict[str, Any]] = [
        {"delay": "-1s"},
        {"debounce": {"quiet_period": "-1s", "max_wait": "-0.5s"}},
        {"rate_limit": {"max_firings": 1, "window": "-3600s"}},
    ]
    given = [{**off, **option} for off, option in zip(ALL_OFF, [*options, {}, {}, {}], strict=True)]
    answer = await both(trigger, "UpdateTriggerConfigs", {"workflow_id": workflow_id, "configs": given})
    assert {name.split(".")[0] for name in fields_of(answer)} == {f"configs[{number}]" for number in range(3)}
    event = {"experiment_id": "e1", "job_id": "j", "job_type": "T", "status": "RUNNING", "heartbeat_timeout": "-90s"}
    assert fields_of(await both(trigger, "ReportJobEvent", {"event": event})) == ["event.heartbeat_timeout"]
    spans = {"workflow_id": workflow_id, "window": "-60s"}
    assert "window" in fields_of(await both(trigger, "GetTriggerStats", spans))


async def test_every_method_is_there(trigger: TriggerSides) -> None:
    codes = {
        rpc.name: (await trigger.over_grpc(rpc.name, trigger.message(rpc.name, {}))).code
        for rpc in trigger.service.methods
    }
    assert set(codes.values()) <= {0, 3, 5}, codes
