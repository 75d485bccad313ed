"""Firings and decisions equal a small model's after any interleaving of what people, jobs, time and the runner do."""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.integration.trigger.firings_model import GIVE_UP_AFTER, RETRY_UNITS, Config, Firing, Model, Workflow
from tests.integration.trigger.harness import FAST, Harness, configs, event, graph, serving
from tests.integration.trigger.peer import Peer
from tests.support.db_clock import set_clock_offset
from trigger_service.usecases.release_firings import release_firings
from wakepoint.chassis.database import Database
from wakepoint.runner.v1 import runner_service_pb2 as runner_calls
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

T = TypeVar("T")
UNIT_SECONDS = 1_000
PACE = replace(
    FAST,
    give_up_after=GIVE_UP_AFTER,
    first_retry_seconds=RETRY_UNITS * UNIT_SECONDS,
    longest_retry_seconds=RETRY_UNITS * UNIT_SECONDS,
)
MODES = {"HOLD": messages.WHILE_PAUSED_HOLD, "DROP_AND_RECORD": messages.WHILE_PAUSED_DROP_AND_RECORD}

# Spans end between the whole units at which things happen, so that what is due never hangs on milliseconds.
a_config = st.builds(
    lambda limits, times, **rest: Config(**limits, **times, **rest),
    is_enabled=st.sampled_from([True, True, True, False]),
    condition=st.sampled_from(["", "", "", "job.attributes.missing"]),
    times=st.sampled_from(
        [
            {},
            {},
            {"delay": 1.25},
            {"quiet": 1.5},
            {"quiet": 1.5, "max_wait": 2.5},
            {"quiet": 0.5, "delay": 0.25},
            {"quiet": 0.5, "delay": 1.25},
        ]
    ),
    limits=st.sampled_from(
        [
            {},
            {},
            {"max_firings": 2},
            {"rate_max": 2, "rate_window": 2.5},
            {"max_firings": 3, "rate_max": 1, "rate_window": 1.5},
        ]
    ),
    while_paused=st.sampled_from(["", "", "HOLD", "DROP_AND_RECORD"]),
)
a_mode = st.sampled_from(["HOLD", "HOLD", "DROP_AND_RECORD"])
a_number = st.integers(0, 10_000)
some_jobs = st.lists(st.integers(0, 60), min_size=1, max_size=6)


class World:
    """The service, one for all examples of a test: each example begins with empty tables."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self.peer = Peer()
        self.service = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    async def _open(self) -> Harness:
        await self.peer.come()
        self._database = await Database.open(self._dsn, application_name="test", min_size=2, max_size=8)
        self._serving = serving(self._database, self.peer)
        return await self._serving.__aenter__()

    async def empty(self) -> None:
        tables = await self.service.value(
            "select string_agg(format('trigger.%I', tablename), ', ') from pg_tables "
            "where schemaname = 'trigger' and tablename not in ('migrations', 'blueprints')"
        )
        await self.service.execute(await self.service.value("select 'truncate ' || $1::text || ' cascade'", tables))
        self.peer.runs.clear()
        await self.move_clock(0)

    async def move_clock(self, units: float) -> None:
        async with self._database.connection() as connection:
            await set_clock_offset(connection, "trigger", timedelta(seconds=units * UNIT_SECONDS))

    def close(self) -> None:
        self.run(self._close())
        self._loop.close()

    async def _close(self) -> None:
        await self._serving.__aexit__(None, None, None)
        await self._database.close()
        await self.peer.go_away()


class Steps(RuleBasedStateMachine):
    """Every step is done to the service and to the model."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.service, self.model = world, world.service, Model()
        self.ids: list[str] = []
        world.peer.refusal = self._refusal
        world.peer.whole = lambda _request: grpc.StatusCode.UNAVAILABLE if self.model.is_away else None
        world.run(world.empty())

    def _refusal(self, request: runner_calls.StartRunRequest) -> Status | None:
        refused = self.model.workflows[self.ids.index(request.workflow_id)].is_refused
        return Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="no") if refused else None

    def _live(self, number: int) -> int | None:
        live = [place for place, workflow in enumerate(self.model.workflows) if not workflow.is_deleted]
        return live[number % len(live)] if live else None

    @initialize(chosen=st.lists(a_config, min_size=3, max_size=3))
    def begin_with_some_workflows(self, chosen: list[Config]) -> None:
        for config in chosen:
            self._create(config)

    @precondition(lambda self: len(self.ids) < 5)
    @rule(config=a_config)
    def create_a_workflow(self, config: Config) -> None:
        self._create(config)

    def _create(self, config: Config) -> None:
        request = calls.CreateWorkflowRequest(
            experiment_id="e1", name="w", graph=graph(), trigger_configs=configs(**options_of(config))
        )
        answer = self.world.run(self._call(self.service.stub.CreateWorkflow, request))
        self.ids.append(answer.workflow.workflow_id)
        self.model.workflows.append(Workflow(config))

    @rule(number=a_number, config=a_config)
    def change_configs(self, number: int, config: Config) -> None:
        place = self._live(number)
        if place is not None:
            given = configs(**options_of(config))
            request = calls.UpdateTriggerConfigsRequest(workflow_id=self.ids[place], configs=given)
            self.world.run(self._call(self.service.stub.UpdateTriggerConfigs, request))
            self.model.configure(place, config)

    @rule(number=a_number, sure=st.integers(0, 3))
    def delete_a_workflow(self, number: int, sure: int) -> None:
        place = self._live(number)
        if place is not None and sure == 0:
            request = calls.DeleteWorkflowRequest(workflow_id=self.ids[place])
            self.world.run(self._call(self.service.stub.DeleteWorkflow, request))
            self.model.delete(place)

    @rule(jobs=some_jobs)
    def report_jobs_in_one_batch(self, jobs: list[int]) -> None:
        events = [event(job_id=f"j{job}", event_id=f"j{job}") for job in jobs]
        request = calls.BatchReportJobEventsRequest(events=events)
        self.world.run(self._call(self.service.stub.BatchReportJobEvents, request))
        for job in jobs:
            self.model.report(f"j{job}")

    @rule(jobs=some_jobs, refused=st.none() | a_number)
    def report_jobs_one_after_another(self, jobs: list[int], refused: int | None) -> None:
        place = self._live(refused) if refused is not None else None
        if place is not None:
            self.model.workflows[place].is_refused = True
        for job in jobs:
            self.report_jobs_in_one_batch([job])
            self.a_while_passes(1, releases=False, dispatches=place is not None)

    @rule(number=a_number)
    def run_by_hand(self, number: int) -> None:
        place = self._live(number)
        if place is not None:
            request = calls.RunWorkflowRequest(workflow_id=self.ids[place])
            self.world.run(self._call(self.service.stub.RunWorkflow, request))
            self.model.firings.append(Firing(place, "MANUAL", self.model.now, due=self.model.now))

    @rule(number=a_number, mode=a_mode, whole=st.booleans())
    def pause(self, number: int, mode: str, whole: bool) -> None:
        place = None if whole else self._live(number)
        if whole or place is not None:
            request = calls.PauseTriggersRequest(while_paused=MODES[mode], **self._scope(place))
            self.world.run(self._call(self.service.stub.PauseTriggers, request))
            self.model.pause(place, mode)

    @rule(number=a_number, whole=st.booleans(), asks_first=st.booleans())
    def resume(self, number: int, whole: bool, asks_first: bool) -> None:
        place = None if whole else self._live(number)
        if whole or place is not None:
            if asks_first:
                asked = calls.ResumeTriggersRequest(**self._scope(place))
                asked.dry_run = True
                self.world.run(self._call(self.service.stub.ResumeTriggers, asked))
                self.firings_equal_the_models()
            request = calls.ResumeTriggersRequest(**self._scope(place))
            self.world.run(self._call(self.service.stub.ResumeTriggers, request))
            self.model.resume(place)

    def _scope(self, place: int | None) -> dict[str, Any]:
        return {"experiment_id": "e1"} if place is None else {"workflow_id": self.ids[place]}

    @rule(units=st.integers(0, 3), releases=st.booleans(), dispatches=st.booleans())
    def a_while_passes(self, units: int, releases: bool, dispatches: bool) -> None:
        if units:
            self.model.now += units
            self.world.run(self.world.move_clock(self.model.now))
        if releases:
            self.world.run(self._release())
            self.model.release_due()
        if dispatches:
            self.world.run(self._dispatch())
            self.model.dispatch()

    @rule(number=a_number)
    def the_runner_begins_or_ceases_to_refuse_a_workflow(self, number: int) -> None:
        place = self._live(number)
        if place is not None:
            self.model.workflows[place].is_refused ^= True

    @rule()
    def the_runner_goes_or_comes_back(self) -> None:
        self.model.is_away ^= True

    @precondition(lambda self: self.model.firings)
    @rule(number=a_number, cancels=st.booleans())
    def retry_or_cancel_a_firing(self, number: int, cancels: bool) -> None:
        chosen = self.model.firings[number % len(self.model.firings)]
        if chosen.is_manual:
            return
        firing_id = self.world.run(
            self.service.value(
                "select firing_id::text from trigger.firings where event_id = $1 and workflow_id = $2",
                chosen.event,
                self.ids[chosen.workflow],
            )
        )
        request = (calls.CancelFiringRequest if cancels else calls.RetryFiringRequest)(firing_id=firing_id)
        method = self.service.stub.CancelFiring if cancels else self.service.stub.RetryFiring
        if (self.model.cancel if cancels else self.model.retry)(chosen):
            self.world.run(self._call(method, request))
        else:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                self.world.run(self._call(method, request))
            assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION

    @precondition(lambda self: not any(workflow.is_refused for workflow in self.model.workflows))
    @rule(job=st.integers(0, 60))
    def two_reporters_two_dispatchers_and_two_releasers_at_once(self, job: int) -> None:
        self.world.run(self._all_at_once(f"j{job}"))
        self.world.run(self._release())
        self.world.run(self._dispatch())
        self.model.report(f"j{job}")
        self.model.release_due()
        self.model.dispatch()

    async def _all_at_once(self, name: str) -> None:
        request = calls.ReportJobEventRequest(event=event(job_id=name, event_id=name))
        await asyncio.gather(
            *(self._call(self.service.stub.ReportJobEvent, request) for _ in range(2)),
            *(self._dispatch() for _ in range(2)),
            *(self._release() for _ in range(2)),
        )

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request)

    async def _release(self) -> None:
        while await release_firings(self.service.env, 3):
            pass

    async def _dispatch(self) -> None:
        dispatcher = self.service.dispatcher(PACE)
        while await dispatcher.dispatch_once():
            pass

    @invariant()
    def firings_equal_the_models(self) -> None:
        rows = self.world.run(
            self.service.value(
                "select coalesce(jsonb_agg(jsonb_build_array(workflow_id, "
                "case when trigger_type = 'MANUAL' then 'MANUAL' else event_id end, "
                "state, held_by, attempts)), '[]') from trigger.firings"
            )
        )
        found = Counter((self.ids.index(row[0]), *row[1:]) for row in rows)
        assert found == Counter((f.workflow, f.event, f.state, f.held_by, f.attempts) for f in self.model.firings)

    @invariant()
    def decisions_and_what_is_off_equal_the_models(self) -> None:
        rows = self.world.run(
            self.service.value(
                "select coalesce(jsonb_agg(jsonb_build_array(e.event_id, d.workflow_id, d.verdict)), '[]') "
                "from trigger.decisions as d join trigger.job_events as e using (event_key)"
            )
        )
        assert {(name, self.ids.index(key)): verdict for name, key, verdict in rows} == self.model.decisions
        off = self.world.run(
            self.service.value(
                "select coalesce(array_agg(workflow_id::text), '{}') from trigger.workflows "
                "where disabled_reason is not null"
            )
        )
        expected = {self.ids[place] for place, workflow in enumerate(self.model.workflows) if workflow.is_off}
        assert set(off) == expected

    @invariant()
    def every_dispatched_firing_has_one_run_and_no_other_has(self) -> None:
        dispatched = self.world.run(
            self.service.value(
                "select coalesce(jsonb_object_agg(firing_id, run_id), '{}') from trigger.firings "
                "where state = 'DISPATCHED'"
            )
        )
        assert dispatched == self.world.peer.runs


def options_of(config: Config) -> dict[str, dict[str, Any]]:
    """The config as `configs` takes it."""
    if not config.is_enabled:
        return {}
    options: dict[str, Any] = {"condition": config.condition, "max_firings": config.max_firings}
    if config.delay is not None:
        options["delay"] = _span(config.delay)
    if config.quiet is not None:
        options["debounce"] = {"quiet_period": _span(config.quiet)}
        if config.max_wait is not None:
            options["debounce"]["max_wait"] = _span(config.max_wait)
    if config.rate_max:
        options["rate_limit"] = {"max_firings": config.rate_max, "window": _span(config.rate_window)}
    if config.while_paused:
        options["while_paused"] = MODES[config.while_paused]
    return {"TRAIN": options}


def _span(units: float) -> dict[str, int]:
    return {"seconds": int(units * UNIT_SECONDS)}


@pytest.mark.timeout(180)
def test_firings_equal_the_models_after_any_interleaving(trigger_dsn: str) -> None:
    world = World(trigger_dsn)
    try:
        run_state_machine_as_test(
            lambda: Steps(world),  # type: ignore[arg-type]  # any factory will do
            settings=settings(
                max_examples=int(os.environ.get("WAKEPOINT_MODEL_EXAMPLES", "30")),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
    finally:
        world.close()
