"""delay, debounce, max_firings, rate_limit: exact at their borders and however many report at once."""

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from tests.integration.trigger.harness import Harness, configs, event, faults_of, reason_of
from tests.integration.trigger.peer import Peer
from tests.support.db_clock import set_clock_offset
from trigger_service.usecases.release_firings import release_firings
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

HELD, QUEUED = messages.FIRING_STATE_HELD, messages.FIRING_STATE_QUEUED
CANCELLED, DISPATCHED = messages.FIRING_STATE_CANCELLED, messages.FIRING_STATE_DISPATCHED


async def at(service: Harness, seconds: float) -> None:
    """Move the database's clock to so long after the test's beginning."""
    async with service.database.connection() as connection:
        await set_clock_offset(connection, "trigger", timedelta(seconds=seconds))


async def release(service: Harness) -> None:
    while await release_firings(service.env, 2):
        pass


async def decisions(service: Harness) -> list[tuple[str, str]]:
    """(event_id, verdict) of every stored decision, in the events' order."""
    found = await service.value(
        "select array_agg(e.event_id || ' ' || d.verdict order by e.event_key) "
        "from trigger.decisions as d join trigger.job_events as e using (event_key)"
    )
    return [(item.split()[0], item.split()[1]) for item in found or []]


def seconds(amount: float) -> dict[str, int]:
    return {"seconds": int(amount), "nanos": int(amount % 1 * 1e9)}


def debounce(quiet: float, longest: float | None = None) -> dict[str, Any]:
    return {"quiet_period": seconds(quiet)} | ({"max_wait": seconds(longest)} if longest else {})


async def report(service: Harness, name: str, **fields: Any) -> calls.ReportJobEventResponse:
    return await service.report(job_id=name, event_id=name, **fields)


async def test_a_delayed_match_is_held_until_it_is_due_by_the_databases_clock(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={"delay": seconds(90)})
    [firing] = (await report(service, "a")).firings
    assert (firing.state, firing.held_by) == (HELD, "DELAY")
    assert firing.next_attempt_time.ToDatetime() - firing.create_time.ToDatetime() >= timedelta(seconds=89)
    await at(service, 89)
    await release(service)
    await service.dispatcher().dispatch_once()
    assert (await service.firings())[0].state == HELD
    await at(service, 91)
    await release(service)
    await service.dispatcher().dispatch_once()
    assert (await service.firings())[0].state == DISPATCHED
    assert peer.sent == 1
    assert await decisions(service) == []


async def test_a_burst_becomes_one_firing_with_the_last_event(service: Harness, peer: Peer) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60)})
    for number, name in enumerate("abc"):
        await at(service, number * 50)
        [firing] = (await report(service, name, job_name=f"job {name}")).firings
        assert (firing.state, firing.held_by, firing.event_id) == (HELD, "DEBOUNCE", name)
    await at(service, 158)
    await release(service)
    assert [firing.state for firing in await service.firings()] == [HELD]
    await at(service, 161)
    await release(service)
    await service.dispatcher().dispatch_once()
    [firing] = await service.firings()
    assert firing.state == DISPATCHED
    assert MessageToDict(peer.requests[firing.firing_id].input)["job"]["job_name"] == "job c"
    assert await decisions(service) == [("a", "DEBOUNCED"), ("b", "DEBOUNCED"), ("c", "DEBOUNCED")]


async def test_an_event_that_is_alone_in_its_window_is_not_debounced(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60)})
    await report(service, "a")
    await at(service, 61)
    await release(service)
    assert [firing.state for firing in await service.firings()] == [QUEUED]
    assert await decisions(service) == []


async def test_a_burst_that_does_not_end_is_released_after_the_longest_wait(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60, 100)})
    for number, name in enumerate("abc"):
        await at(service, number * 45)
        await report(service, name)
    await at(service, 101)
    await release(service)
    assert [(firing.event_id, firing.state) for firing in await service.firings()] == [("c", QUEUED)]
    await report(service, "d")
    assert [(firing.event_id, firing.state) for firing in await service.firings()] == [("d", HELD), ("c", QUEUED)]


async def test_a_window_ends_at_its_time_however_late_the_release_loop_comes(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60)})
    await report(service, "a")
    await at(service, 61)
    await report(service, "b")
    assert [(firing.event_id, firing.state) for firing in await service.firings()] == [("b", HELD), ("a", QUEUED)]
    assert await decisions(service) == []


async def test_every_event_of_a_burst_told_again_answers_with_its_one_firing(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60)})
    [firing] = (await report(service, "a")).firings
    await report(service, "b")
    for name in "ab":
        again = await report(service, name)
        assert again.disposition == messages.REPORT_DISPOSITION_DUPLICATE
        assert [item.firing_id for item in again.firings] == [firing.firing_id]


async def test_a_delay_begins_when_the_burst_has_ended(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60), "delay": seconds(30)})
    await report(service, "a")
    await at(service, 61)
    await release(service)
    assert [(firing.state, firing.held_by) for firing in await service.firings()] == [(HELD, "DELAY")]
    await at(service, 91)
    await release(service)
    assert [firing.state for firing in await service.firings()] == [QUEUED]


async def test_bursts_in_one_batch_of_many_workflows_make_one_firing_each(service: Harness) -> None:
    for number in range(5):
        await service.workflow(name=f"w{number}", TRAIN={"debounce": debounce(60)})
    events = [event(job_id=f"j{number}") for number in range(20)]
    answer = await service.stub.BatchReportJobEvents(calls.BatchReportJobEventsRequest(events=events))
    assert [len(result.firings) for result in answer.results] == [5] * 20
    assert len({firing.firing_id for result in answer.results for firing in result.firings}) == 5
    assert len(await service.firings()) == 5


async def test_opposing_bursts_at_once_open_one_window_each_and_lose_nothing(service: Harness) -> None:
    for number in range(4):
        await service.workflow(name=f"w{number}", TRAIN={"debounce": debounce(60)})
    batches = [[event(job_id=f"j{turn}-{number}") for number in range(10)] for turn in range(12)]
    await asyncio.gather(
        *(service.stub.BatchReportJobEvents(calls.BatchReportJobEventsRequest(events=batch)) for batch in batches)
    )
    assert [firing.state for firing in await service.firings()] == [HELD] * 4
    assert await service.value("select count(*) from trigger.decisions") == 4 * 120


@pytest.mark.parametrize(
    ("option", "verdict"),
    [
        ({"max_firings": 10}, "LIMIT_REACHED"),
        ({"rate_limit": {"max_firings": 10, "window": seconds(3_600)}}, "RATE_LIMITED"),
    ],
)
async def test_64_concurrent_reporters_never_exceed_a_limit(
    service: Harness, option: dict[str, Any], verdict: str
) -> None:
    limited, other = await service.workflow(name="limited", TRAIN=option), await service.workflow(TRAIN={})
    answers = await asyncio.gather(*(report(service, f"j{number}") for number in range(64)))
    assert len(await service.firings(limited)) == 10
    assert len(await service.firings(other, page_size=100)) == 64
    assert Counter(len(answer.firings) for answer in answers) == {2: 10, 1: 54}
    assert Counter(found for _, found in await decisions(service)) == {verdict: 54}


async def test_the_same_event_reported_64_times_at_once_uses_one_firing_up(service: Harness) -> None:
    await service.workflow(TRAIN={"max_firings": 2})
    await asyncio.gather(*(report(service, "same") for _ in range(64)))
    assert len(await service.firings()) == 1
    await report(service, "b")
    await report(service, "c")
    assert len(await service.firings()) == 2


async def test_a_rate_limits_window_opens_with_its_first_firing_and_ends_after_its_length(service: Harness) -> None:
    await service.workflow(TRAIN={"rate_limit": {"max_firings": 2, "window": seconds(60)}})
    fired = []
    for moment in (30, 31, 32, 89, 91, 92, 93, 152):
        await at(service, moment)
        fired.append(len((await report(service, f"j{moment}")).firings))
    assert fired == [1, 1, 0, 0, 1, 1, 0, 1]


async def test_a_firing_that_was_cancelled_is_not_given_back_and_a_higher_limit_lets_more_through(
    service: Harness,
) -> None:
    workflow_id = await service.workflow(TRAIN={"max_firings": 1})
    [firing] = (await report(service, "a")).firings
    await service.stub.CancelFiring(calls.CancelFiringRequest(firing_id=firing.firing_id))
    assert not (await report(service, "b")).firings
    await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs(TRAIN={"max_firings": 2}))
    )
    assert len((await report(service, "c")).firings) == 1
    assert not (await report(service, "d")).firings


async def test_an_event_that_joins_a_window_uses_no_limit_up(service: Harness) -> None:
    await service.workflow(TRAIN={"debounce": debounce(60), "max_firings": 1})
    for name in "abc":
        assert len((await report(service, name)).firings) == 1
    await at(service, 61)
    assert not (await report(service, "d")).firings
    assert await decisions(service) == [
        ("a", "DEBOUNCED"),
        ("b", "DEBOUNCED"),
        ("c", "DEBOUNCED"),
        ("d", "LIMIT_REACHED"),
    ]


async def test_a_decision_keeps_the_config_as_it_was(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"debounce": debounce(60), "job_name_pattern": "*1*"})
    await report(service, "a", job_name="12")
    await service.stub.UpdateTriggerConfigs(
        calls.UpdateTriggerConfigsRequest(
            workflow_id=workflow_id, configs=configs(TRAIN={"debounce": debounce(60), "job_name_pattern": "*2*"})
        )
    )
    await report(service, "b", job_name="12")
    patterns = await service.value(
        "select array_agg(config ->> 'job_name_pattern' order by event_key) from trigger.decisions"
    )
    assert patterns == ["*1*", "*2*"]


async def test_a_condition_without_a_value_is_recorded(service: Harness) -> None:
    await service.workflow(TRAIN={"condition": "job.attributes.accuracy > 0.5"})
    await report(service, "a")
    assert await decisions(service) == [("a", "CONDITION_ERROR")]
    assert "accuracy" in await service.value("select detail from trigger.decisions")


@pytest.mark.parametrize("change", ["off", "expired", "disabled", "deleted"])
async def test_a_held_firing_whose_config_is_off_at_its_release_is_cancelled_with_that_reason(
    service: Harness, change: str
) -> None:
    workflow_id = await service.workflow(TRAIN={"delay": seconds(60)})
    await report(service, "a")
    expected = "the trigger was off when the firing was to be released"
    if change == "off":
        await service.stub.UpdateTriggerConfigs(
            calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=configs())
        )
    elif change == "expired":
        options = {"expire_time": "2026-01-01T00:00:00Z"}
        sent = messages.TriggerConfig(trigger_type="TRAIN", is_enabled=True)
        sent.expire_time.FromJsonString(options["expire_time"])
        await service.stub.UpdateTriggerConfigs(
            calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=[sent, *configs()[1:]])
        )
        expected = "the trigger had expired when the firing was to be released"
    elif change == "disabled":
        await service.execute("update trigger.workflows set disabled_reason = 'because'")
        expected = "because"
    else:
        await service.execute("update trigger.workflows set delete_time = trigger.stamp()")
        expected = "the workflow was deleted"
    assert (await service.firings(workflow_id))[0].state == HELD
    await at(service, 61)
    await release(service)
    [firing] = await service.firings(workflow_id)
    assert (firing.state, firing.last_error, firing.held_by) == (CANCELLED, expected, "")


async def test_deleting_cancels_what_is_held(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"delay": seconds(60)}, EVAL={"debounce": debounce(60)})
    await report(service, "a")
    await report(service, "b", job_type="EVAL")
    await service.stub.DeleteWorkflow(calls.DeleteWorkflowRequest(workflow_id=workflow_id))
    assert {(firing.state, firing.held_by) for firing in await service.firings(workflow_id)} == {(CANCELLED, "")}


async def test_two_replicas_release_a_backlog_once_each(service: Harness) -> None:
    await service.workflow(TRAIN={"delay": seconds(60)})
    events = [event(job_id=f"j{number}") for number in range(200)]
    await service.stub.BatchReportJobEvents(calls.BatchReportJobEventsRequest(events=events))
    await at(service, 61)
    await asyncio.gather(*(release_firings(service.env, 60) for _ in range(4)))
    await release(service)
    assert await service.value("select count(*) from trigger.firings where state = 'QUEUED'") == 200


async def test_options_come_back_as_they_were_given(service: Harness) -> None:
    options: dict[str, Any] = {
        "delay": seconds(1.5),
        "debounce": debounce(60, 600),
        "max_firings": 7,
        "rate_limit": {"max_firings": 2, "window": seconds(0.25)},
        "while_paused": messages.WHILE_PAUSED_DROP_AND_RECORD,
    }
    workflow_id = await service.workflow(TRAIN=options)
    read = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    assert read.trigger_configs[0] == configs(TRAIN=options)[0]


async def test_every_fault_of_every_option_is_told_at_once(service: Harness) -> None:
    workflow_id = await service.workflow()
    given = configs(
        TRAIN={"delay": seconds(-1), "debounce": debounce(60, 59), "max_firings": -1},
        EVAL={"debounce": {}, "rate_limit": {}, "while_paused": 9},
        GENERATE={"debounce": debounce(0), "rate_limit": {"max_firings": 1, "window": seconds(0)}},
        LOAD_MODEL={"delay": {"seconds": 1, "nanos": -1}, "rate_limit": {"max_firings": 1, "window": seconds(10**9)}},
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.UpdateTriggerConfigs(
            calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id, configs=given)
        )
    assert reason_of(refused.value) == "INVALID_ARGUMENT"
    counts = "must be a whole number from {} to 2147483647"
    assert sorted(faults_of(refused.value)) == sorted(
        [
            ("configs[0].delay", "must not be negative"),
            ("configs[0].debounce.max_wait", "must not be shorter than quiet_period"),
            ("configs[0].max_firings", counts.format(0)),
            ("configs[2].delay", "must be a duration such as 90s"),
            ("configs[2].rate_limit.window", "must not be longer than ten years"),
            ("configs[4].debounce.quiet_period", "must be given"),
            ("configs[4].rate_limit.max_firings", counts.format(1)),
            ("configs[4].rate_limit.window", "must be given"),
            ("configs[4].while_paused", "must be one of HOLD, DROP_AND_RECORD"),
            ("configs[5].debounce.quiet_period", "must be longer than nothing"),
            ("configs[5].rate_limit.window", "must be longer than nothing"),
        ]
    )


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"delay": "soon"}, "delay"),
        ({"debounce": {"quiet_period": "-1s"}}, "debounce"),
        ({"max_firings": True, "rate_limit": {"window": "60s"}}, "max_firings, rate_limit"),
        ({"while_paused": "WAIT", "condition": 5}, "condition, while_paused"),
    ],
)
async def test_damaged_options_stored_by_sql_turn_the_trigger_off_and_it_says_why(
    service: Harness, stored: dict[str, Any], named: str
) -> None:
    workflow_id = await service.workflow()
    damaged = [{"trigger_type": "TRAIN", "is_enabled": True, **stored}]
    await service.execute("update trigger.workflows set trigger_configs = $1", damaged)
    assert not (await report(service, "a")).firings
    answer = await service.stub.MatchJobEvent(calls.MatchJobEventRequest(event=event(), include_rejected=True))
    [decision] = answer.decisions
    assert (decision.workflow_id, decision.verdict) == (workflow_id, "TRIGGER_DISABLED")
    assert decision.detail == f"stored options that cannot be honoured: {named}"


async def test_sound_options_stored_by_sql_hold_as_if_they_had_been_sent(service: Harness) -> None:
    await service.workflow()
    stored = [
        {
            "trigger_type": "TRAIN",
            "is_enabled": True,
            "delay": "0s",
            "max_firings": 2,
            "rate_limit": {"max_firings": 1, "window": "60.5s", "label": "mine"},
            "debounce": None,
        }
    ]
    await service.execute("update trigger.workflows set trigger_configs = $1", stored)
    assert [len((await report(service, name)).firings) for name in "ab"] == [1, 0]
    await at(service, 61)
    assert [len((await report(service, name)).firings) for name in "cd"] == [1, 0]
    assert json.loads(await service.value("select config::text from trigger.trigger_index")) == {
        "trigger_type": "TRAIN",
        "is_enabled": True,
        "max_firings": 2,
        "rate_limit": {"max_firings": 1, "window": "60.5s"},
    }
