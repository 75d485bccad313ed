import asyncio
from dataclasses import replace
from uuid import UUID

import grpc
import pytest

from tests.integration.trigger.harness import Harness, event, faults_of, reason_of
from tests.support.conditions import eventually
from trigger_service.domain.events import JobEvent
from trigger_service.usecases.report_job_events import Report, report_job_events
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

ACCEPTED = messages.REPORT_DISPOSITION_ACCEPTED
DUPLICATE = messages.REPORT_DISPOSITION_DUPLICATE


async def test_sixty_four_concurrent_reports_of_one_completion_make_one_firing(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    answers = await asyncio.gather(*(service.report() for _ in range(64)))
    assert sorted(answer.disposition for answer in answers) == [ACCEPTED] + [DUPLICATE] * 63
    # Whoever is told DUPLICATE is told the original's id and firing, however close behind it came.
    assert len({answer.event_id for answer in answers}) == 1
    assert {len(answer.firings) for answer in answers} == {1}
    assert len({answer.firings[0].firing_id for answer in answers}) == 1
    assert len(await service.firings(workflow_id)) == 1


async def test_a_report_fires_every_matching_workflow_of_its_experiment_and_no_other(service: Harness) -> None:
    one, two = await service.workflow(TRAIN={}), await service.workflow(TRAIN={}, EVAL={})
    await service.workflow(EVAL={})
    await service.workflow(experiment_id="e2", TRAIN={})
    elsewhere = await service.workflow(experiment_id="e3", TRAIN={"source_experiment_ids": ["e1"]})
    answer = await service.report(attributes={"accuracy": 0.9})
    assert {firing.workflow_id for firing in answer.firings} == {one, two, elsewhere}
    assert {firing.state for firing in answer.firings} == {messages.FIRING_STATE_QUEUED}
    assert {firing.event_id for firing in answer.firings} == {answer.event_id}
    assert {firing.trigger_type for firing in answer.firings} == {"TRAIN"}


async def test_each_status_is_an_event_of_its_own_and_by_default_only_complete_fires(service: Harness) -> None:
    await service.workflow(TRAIN={})
    for status in ("QUEUED", "RUNNING", "FAILED"):
        answer = await service.report(status=status)
        assert (answer.disposition, len(answer.firings)) == (ACCEPTED, 0)
    assert len((await service.report()).firings) == 1


async def test_another_attempt_fires_again(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.report(attempt=1)
    assert (await service.report(attempt=2)).disposition == ACCEPTED
    assert len(await service.firings(workflow_id)) == 2


async def test_the_same_completion_under_another_event_id_is_a_duplicate_of_the_first(service: Harness) -> None:
    first = await service.report(event_id="a", source="s")
    again = await service.report(event_id="b", source="t")
    assert (first.event_id, again.event_id, again.disposition) == ("a", "a", DUPLICATE)


async def test_an_event_id_that_comes_back_for_another_job_is_refused_and_stores_nothing(service: Harness) -> None:
    await service.report(event_id="a")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.report(event_id="a", job_id="j2")
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ALREADY_EXISTS, "EVENT_ID_REUSED")
    assert await service.value("select array_agg(job_id) from trigger.jobs") == ["j1"]
    assert (await service.report(event_id="a", job_id="j2", source="other")).disposition == ACCEPTED


async def test_a_report_may_leave_out_what_the_job_is_known_by(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={"job_name_pattern": "night*", "condition": "job.attributes.a == 1"})
    await service.report(status="RUNNING", job_name="nightly", attributes={"a": 1})
    answer = await service.report(job_type="")
    assert [firing.workflow_id for firing in answer.firings] == [workflow_id]


async def test_an_unknown_job_needs_a_type(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.report(job_type="")
    assert faults_of(refused.value) == [("event.job_type", "must not be empty: the job is not known yet")]


async def test_every_faulty_field_is_named_and_nothing_is_stored(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.report(experiment_id="", status="DONE", job_name="a\0", attributes={"deep": [{"x": "\0"}]})
    assert {field for field, _ in faults_of(refused.value)} == {
        "event.experiment_id",
        "event.status",
        "event.job_name",
        "event.attributes.deep[0].x",
    }
    assert await service.value("select count(*) from trigger.job_events") == 0


async def test_a_late_report_does_not_take_a_finished_job_back(service: Harness) -> None:
    await service.report(status="COMPLETE")
    assert (await service.report(status="RUNNING")).disposition == ACCEPTED
    assert await service.value("select status from trigger.jobs") == "COMPLETE"
    await service.report(status="DELETED")
    assert await service.value("select status from trigger.jobs") == "DELETED"


async def test_a_workflow_that_caused_its_own_event_stops_at_the_loop_limit(service: Harness) -> None:
    await service.workflow(TRAIN={})
    for depth, fired in ((8, 1), (9, 0)):
        answer = await service.report(job_id=f"j{depth}", causation=messages.Causation(run_id="r", depth=depth))
        assert len(answer.firings) == fired


async def test_what_came_while_a_trigger_was_off_never_fires_later(service: Harness) -> None:
    workflow_id = await service.workflow()
    await service.report()
    update = calls.UpdateTriggerConfigsRequest(workflow_id=workflow_id)
    workflow = await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))
    update.configs.extend(workflow.trigger_configs)
    update.configs[0].is_enabled = True
    await service.stub.UpdateTriggerConfigs(update)
    again = await service.report()
    assert (again.disposition, list(again.firings)) == (DUPLICATE, [])


async def test_the_revision_that_an_event_was_matched_against_is_kept_with_it(service: Harness) -> None:
    await service.workflow()
    await service.report(job_id="before")
    await service.workflow()
    await service.report(job_id="after")
    revisions = await service.value("select array_agg(revision order by event_key) from trigger.job_events")
    assert revisions == [1, 2]
    valid = "select count(*) from trigger.config_history where valid_from <= $1 and coalesce(valid_to, 9) > $1"
    assert [await service.value(valid, revision) for revision in revisions] == [1, 2]


async def test_one_bad_event_of_a_batch_fails_alone(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    await service.report(event_id="used", job_id="earlier")
    answer = await service.stub.BatchReportJobEvents(
        calls.BatchReportJobEventsRequest(
            events=[
                event(job_id="a"),
                event(job_id="", status="DONE"),
                event(job_id="b", job_type=""),
                event(job_id="c", event_id="used"),
                event(job_id="a"),
                event(job_id="d", status="RUNNING", attributes={"x": 1}),
                event(job_id="d", job_type=""),
            ]
        )
    )
    assert [(result.disposition, result.error.code) for result in answer.results] == [
        (ACCEPTED, 0),
        (0, grpc.StatusCode.INVALID_ARGUMENT.value[0]),
        (0, grpc.StatusCode.INVALID_ARGUMENT.value[0]),
        (0, grpc.StatusCode.ALREADY_EXISTS.value[0]),
        (DUPLICATE, 0),
        (ACCEPTED, 0),
        (ACCEPTED, 0),
    ]
    assert answer.results[4].event_id == answer.results[0].event_id
    assert answer.results[4].firings == answer.results[0].firings
    assert len(await service.firings(workflow_id)) == 3
    assert await service.value("select status from trigger.jobs where job_id = 'd'") == "COMPLETE"
    assert await service.value("select attributes from trigger.jobs where job_id = 'd'") == {"x": 1}


async def test_a_batch_of_more_than_a_thousand_is_refused(service: Harness) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.stub.BatchReportJobEvents(
            calls.BatchReportJobEventsRequest(events=[event(job_id=str(number)) for number in range(1001)])
        )
    assert faults_of(refused.value) == [("events", "must not be more than 1000")]


async def test_batches_that_share_events_in_opposite_order_wait_for_each_other_without_a_deadlock(
    service: Harness,
) -> None:
    """A third transaction holds the event in the middle until both batches hold what they take before it."""
    await service.workflow(TRAIN={})
    before = await service.value("select deadlocks from pg_stat_database where datname = current_database()")
    jobs = ["a", "m", "z"]
    holding, may_end = asyncio.Event(), asyncio.Event()
    holder = asyncio.create_task(hold_event(service, "m", holding, may_end))
    await holding.wait()
    batches = [asyncio.create_task(report_batch(service, order)) for order in (jobs, jobs[::-1])]
    await eventually(lambda: waiting_for_locks(service, 2))
    may_end.set()
    await holder
    results = [result for batch in batches for result in await batch]
    assert sorted(result.disposition for result in results) == [ACCEPTED] * 3 + [DUPLICATE] * 3
    assert {len(result.firings) for result in results} == {1}
    await service.value("select pg_stat_force_next_flush()")
    assert before == await service.value("select deadlocks from pg_stat_database where datname = current_database()")


async def hold_event(service: Harness, job_id: str, holding: asyncio.Event, may_end: asyncio.Event) -> None:
    """Insert a completion and roll it back when told to."""
    async with service.database.transaction() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "insert into trigger.job_events (event_key, experiment_id, event_id, job_id, attempt, status, job_type, "
            "job_name, occur_time, revision) values (gen_random_uuid(), 'e1', 'held', $1, 1, 'COMPLETE', 'TRAIN', '', "
            "trigger.stamp(), 0)",
            job_id,
        )
        holding.set()
        await may_end.wait()
        await transaction.rollback()


async def report_batch(service: Harness, jobs: list[str]) -> list[calls.BatchReportJobEventsResult]:
    request = calls.BatchReportJobEventsRequest(events=[event(job_id=job) for job in jobs])
    return list((await service.stub.BatchReportJobEvents(request)).results)


async def waiting_for_locks(service: Harness, count: int) -> bool:
    found = await service.value(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    return bool(found == count)


async def test_a_duplicate_waits_for_the_original_and_is_then_told_its_firings(service: Harness) -> None:
    """The race by hand: the original's transaction is still open when the duplicate arrives."""
    workflow_id = await service.workflow(TRAIN={})
    given = JobEvent.model_validate({"experiment_id": "e1", "job_id": "j1", "job_type": "TRAIN", "status": "COMPLETE"})
    written, may_commit = asyncio.Event(), asyncio.Event()

    class Held:
        """The database, with a transaction that is held open before its commit."""

        async def run(self, work: object) -> object:
            async with service.database.transaction() as connection:
                result = await work(connection)  # type: ignore[operator]
                written.set()
                await may_commit.wait()
                return result

    held_env = replace(service.env, database=Held())  # type: ignore[arg-type]
    original = asyncio.create_task(report_job_events(held_env, [given]))
    await written.wait()
    duplicate = asyncio.create_task(service.report())
    await eventually(lambda: waiting_for_locks(service, 1))
    may_commit.set()
    [first] = await original
    assert isinstance(first, Report)
    answer = await duplicate
    assert answer.disposition == DUPLICATE
    assert [UUID(firing.firing_id) for firing in answer.firings] == [firing.firing_id for firing in first.firings]
    assert [firing.workflow_id for firing in answer.firings] == [workflow_id]


async def test_a_dry_run_says_what_would_fire_and_stores_nothing(service: Harness) -> None:
    fires = await service.workflow(name="fires", TRAIN={})
    await service.workflow(name="off")
    await service.workflow(name="strict", TRAIN={"condition": "job.attributes.acc > 0.9"})
    await service.workflow(name="elsewhere", experiment_id="e2", TRAIN={"source_experiment_ids": ["e1"]})
    await service.workflow(name="foreign", TRAIN={"source_experiment_ids": ["e2"]})
    request = calls.MatchJobEventRequest(event=event(attributes={"acc": 0.1}))
    short = await service.stub.MatchJobEvent(request)
    assert {decision.workflow_name for decision in short.decisions} == {"fires", "elsewhere"}
    request.include_rejected = True
    full = await service.stub.MatchJobEvent(request)
    assert {decision.workflow_name: decision.verdict for decision in full.decisions} == {
        "fires": "MATCHED",
        "off": "TRIGGER_DISABLED",
        "strict": "CONDITION_FALSE",
        "elsewhere": "MATCHED",
        "foreign": "OTHER_EXPERIMENT",
    }
    assert next(d for d in full.decisions if d.workflow_name == "strict").config.condition == "job.attributes.acc > 0.9"
    assert next(d for d in full.decisions if d.workflow_name == "fires").workflow_id == fires
    assert await service.value("select count(*) from trigger.job_events") == 0
    assert await service.value("select count(*) from trigger.firings") == 0


async def test_firings_are_listed_newest_first_in_pages_and_by_state(service: Harness) -> None:
    workflow_id = await service.workflow(TRAIN={})
    for number in range(5):
        await service.report(job_id=f"j{number}")
    seen: list[str] = []
    token = ""
    while True:
        page = await service.stub.ListFirings(
            calls.ListFiringsRequest(workflow_id=workflow_id, page_size=2, page_token=token)
        )
        seen += [firing.firing_id for firing in page.firings]
        token = page.next_page_token
        if not token:
            break
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)
    assert not await service.firings(workflow_id, states=[messages.FIRING_STATE_DEAD])
    assert len(await service.firings(experiment_id="e1", states=[messages.FIRING_STATE_QUEUED])) == 5
    assert not await service.firings(experiment_id="e2")
