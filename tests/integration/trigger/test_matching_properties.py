"""Whatever is stored, edited and reported in whatever order: SQL matching, the pure matcher and explanations agree."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.db_clock import set_clock_offset
from trigger_service.domain.blueprints import on_offer
from trigger_service.domain.events import JobEvent
from trigger_service.domain.matching import Facts, Verdict, rule
from trigger_service.rpc.runner_client import RunnerClient
from trigger_service.storage import workflows
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment
from trigger_service.usecases.explain_event import explain_event
from trigger_service.usecases.explain_workflow import explain_workflow
from trigger_service.usecases.offer_blueprints import offer_blueprints
from trigger_service.usecases.report_job_events import Report, report_job_events
from wakepoint.chassis.database import Database
from wakepoint.chassis.ids import new_id

CONDITIONS = (
    "true",
    "job.attributes.x > 0.5",
    "job.attributes.x == 1.0e16 && type(job.attributes.x) == double",
    "has(job.attributes.x)",
    "job.attempt == 1",
    "job.job_name.startsWith('n')",
    "job.attributes.missing.deeper",
    "((( no CEL",
    "5",
)

# What comes first is what comes often: a history must have matches in it to prove anything.
_experiment = st.sampled_from(["a", "a", "a", "a", "a", "b", "c"])
_status = st.sampled_from(["COMPLETE", "COMPLETE", "COMPLETE", "FAILED", "RUNNING"])
_kind = st.sampled_from(["TRAIN", "TRAIN", "EVAL"])
_damage: st.SearchStrategy[Any] = st.sampled_from([None, 5, "", "x", [], {}, [["COMPLETE"]], True])
_options: dict[str, st.SearchStrategy[Any]] = {
    "condition": st.sampled_from(CONDITIONS) | _damage,
    "job_name_pattern": st.sampled_from(["n*", "*", "[a-m]?", "[", "n" * 300, "\\n"]) | _damage,
    "on_statuses": st.lists(_status, max_size=2) | _damage,
    "source_experiment_ids": st.lists(_experiment, max_size=3) | _damage,
    "expire_time": st.sampled_from(["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+02:00", "now"]) | _damage,
    "delay": st.sampled_from(["5s", "0s", "-1s"]) | _damage,
    "debounce": st.sampled_from([{"quiet_period": "60s"}, {"quiet_period": "0s"}]) | _damage,
    "max_firings": st.sampled_from([0, 1, 2, -1]) | _damage,
    "while_paused": st.sampled_from(["HOLD", "DROP_AND_RECORD"]) | _damage,
    "of a later version": _damage,
}


def _config() -> st.SearchStrategy[Any]:
    enabled = st.sampled_from([True, True, True, True, True, True, False, "true", None])
    # One option or none: a config with many of them hardly ever matches anything.
    chosen = st.lists(st.sampled_from(sorted(_options)), max_size=1, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: _options[name] for name in names})
    )
    sound = st.fixed_dictionaries({"trigger_type": _kind, "is_enabled": enabled})
    return st.tuples(sound, chosen).map(lambda parts: parts[0] | parts[1])


_several = st.lists(st.one_of(_config(), _config(), _config(), _damage), min_size=1, max_size=3)
_stored = st.one_of(_several, _several, _several, _damage)
_event = st.fixed_dictionaries(
    {
        "experiment_id": _experiment,
        "job_type": st.sampled_from(["TRAIN", "TRAIN", "TRAIN", "TRAIN", "EVAL", "OTHER"]),
        "status": _status,
        "job_name": st.sampled_from(["", "n1", "m1", "\\n"]),
        "attempt": st.integers(1, 2),
        "depth": st.sampled_from([0, 0, 0, 0, 0, 8, 9]),
        "attributes": st.sampled_from(
            [{"x": 0.9}, {}, {"x": 0.1}, {"x": 1e16}, {"x": 0.9}, {"x": "text"}, {"x": [1e300]}]
        ),
    }
)
_place = st.integers(0, 5)
_create = st.tuples(st.just("create"), _experiment, _stored)
_step = st.one_of(
    _create,
    st.tuples(st.just("edit"), _place, _stored),
    st.tuples(st.just("report"), st.lists(_event, min_size=1, max_size=3)),
    st.tuples(st.just("report"), st.lists(_event, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["pause", "resume", "disable", "delete", "remove", "move"]), _place),
    st.tuples(st.just("wait"), st.sampled_from([1, 100])),
)
_SWITCH = {
    "pause": "update trigger.workflows set paused = true where workflow_id = $1",
    "resume": "update trigger.workflows set paused = false where workflow_id = $1",
    "disable": "update trigger.workflows set disabled_reason = 'refused' where workflow_id = $1",
    "delete": "update trigger.workflows set delete_time = trigger.stamp() where workflow_id = $1",
    "remove": "delete from trigger.workflows where workflow_id = $1",
    "move": "update trigger.workflows set experiment_id = $2 where workflow_id = $1",
}


@dataclass
class World:
    """One history in experiments of its own, within a database that many share."""

    env: Environment
    prefix: str
    made: list[UUID] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)

    async def take(self, step: tuple[Any, ...]) -> None:
        match step:
            case "create", experiment, stored:
                self.made.append(UUID(new_id()))
                await self.execute(
                    "insert into trigger.workflows (workflow_id, experiment_id, name, graph_hash, trigger_configs) "
                    "values ($1, $2, 'w', 'g', $3)",
                    self.made[-1],
                    self.prefix + experiment,
                    self.scoped(stored),
                )
            case "edit", place, stored:
                statement = "update trigger.workflows set trigger_configs = $2 where workflow_id = $1"
                await self.execute(statement, self.workflow(place), self.scoped(stored))
            case "report", events:
                await self.report(events)
            case "wait", seconds:
                async with self.env.database.connection() as connection:
                    offset = await connection.fetchval("select trigger.clock_offset()")
                    await set_clock_offset(connection, "trigger", offset + timedelta(seconds=seconds))
            case "move", place:
                await self.execute(_SWITCH["move"], self.workflow(place), f"{self.prefix}c")
            case _:
                await self.execute(_SWITCH[step[0]], self.workflow(step[1]))

    def scoped(self, stored: Any) -> Any:
        if isinstance(stored, list):
            return [self.scoped(item) for item in stored]
        sources = stored.get("source_experiment_ids") if isinstance(stored, dict) else None
        if isinstance(sources, list) and all(isinstance(source, str) for source in sources):
            return stored | {"source_experiment_ids": [self.prefix + source for source in sources]}
        return stored

    def workflow(self, place: int) -> UUID:
        return self.made[place % len(self.made)] if self.made else UUID(int=0)

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.env.database.connection() as connection:
            await connection.execute(statement, *arguments)

    async def report(self, given: list[dict[str, Any]]) -> None:
        events = [
            JobEvent(**fields | {"experiment_id": self.prefix + fields["experiment_id"], "job_id": new_id()})
            for fields in given
        ]
        expected = await self.by_the_pure_matcher(events)
        outcomes = await report_job_events(self.env, events)
        for event, outcome in zip(events, outcomes, strict=True):
            assert isinstance(outcome, Report)
            self.events.append((event.experiment_id, outcome.event_id))
            assert await self.matched(outcome.event_id) == expected[event.job_id]

    async def by_the_pure_matcher(self, events: list[JobEvent]) -> dict[str, set[UUID]]:
        """Each live workflow's configs as everybody reads them, given to the matcher one by one."""
        async with self.env.database.connection() as connection:
            live = [one for key in self.made if (one := await workflows.get(connection, key)) is not None]
            now = await connection.fetchval("select trigger.as_of()")
        found: dict[str, set[UUID]] = {}
        for event in events:
            holds = self.env.conditions.about(event)
            for workflow in live:
                config = next((c for c in workflow.trigger_configs if c.trigger_type == event.job_type), None)
                facts = Facts(now, self.env.max_depth, workflow.experiment_id, workflow.disabled_reason or "")
                verdict = rule(config, event, facts, holds).verdict
                found.setdefault(event.job_id, set()).update({workflow.workflow_id} if verdict == "MATCHED" else ())
        return {event.job_id: found.get(event.job_id, set()) for event in events}

    async def matched(self, event_id: str) -> set[UUID]:
        """What SQL matching let through: it fired, or was stopped by a counter or a pause only."""
        async with self.env.database.connection() as connection:
            rows = await connection.fetch(
                "select workflow_id from trigger.firings where event_id = $1 union "
                "select d.workflow_id from trigger.decisions as d join trigger.job_events as e using (event_key) "
                "where e.event_id = $1 and d.verdict <> 'CONDITION_ERROR'",
                event_id,
            )
        return {row["workflow_id"] for row in rows}

    async def told(self) -> dict[tuple[str, UUID], Verdict]:
        """Every decision that ExplainEvent knows; ExplainWorkflow must say the same of its events."""
        found: dict[tuple[str, UUID], Verdict] = {}
        for experiment, event_id in self.events:
            decisions, _ = await explain_event(self.env, experiment, event_id, 1000, "")
            found |= {(event_id, decision.workflow_id): decision.ruling.verdict for decision in decisions}
        async with self.env.database.connection() as connection:
            kept = [row[0] for row in await connection.fetch("select workflow_id from trigger.workflows")]
        for workflow_id in self.made:
            if workflow_id in kept:
                decisions, _ = await explain_workflow(self.env, str(workflow_id), "", 1000, "")
                for decision in decisions:
                    assert found[decision.event_id, workflow_id] is decision.ruling.verdict
        return found

    async def pairs(self, statement: str) -> set[tuple[str, UUID]]:
        async with self.env.database.connection() as connection:
            rows = await connection.fetch(statement)
        events = {event_id for _, event_id in self.events}
        return {(row["event_id"], row["workflow_id"]) for row in rows if row["event_id"] in events}


async def check(world: World, steps: list[tuple[Any, ...]]) -> int:
    """How many matches fired in a history in which everything agrees."""
    for step in steps:
        await world.take(step)
    waiting = await world.pairs(
        "select f.event_id, f.workflow_id from trigger.firings as f "
        "join trigger.decisions as d using (event_key, workflow_id) where f.state = 'HELD'"
    )
    decided = await world.pairs(
        "select e.event_id, d.workflow_id from trigger.decisions as d join trigger.job_events as e using (event_key)"
    )
    fired = await world.pairs("select event_id, workflow_id from trigger.firings")
    assert {pair for pair, verdict in (await world.told()).items() if verdict == "MATCHED"} == fired - waiting
    # Without what is kept of firings there is only the matcher to ask: it must derive the same.
    await world.execute("delete from trigger.firings")
    assert {pair for pair, verdict in (await world.told()).items() if verdict == "MATCHED"} == fired - decided
    return len(fired)


@pytest.fixture
def play(trigger_dsn: str) -> Iterator[Any]:
    """Plays a history, each in experiments of its own; for hypothesis' synchronous tests."""
    loop = asyncio.new_event_loop()

    async def opened() -> Environment:
        database = await Database.open(trigger_dsn, application_name="test", min_size=1, max_size=1)
        await offer_blueprints(database, on_offer())
        async with database.connection() as connection:
            await connection.execute("insert into trigger.graphs (graph_hash, graph) values ('g', '{}')")
        return Environment(database, on_offer(), Conditions(), RunnerClient("127.0.0.1:1", deadline=1), lambda: None)

    env = loop.run_until_complete(opened())
    numbers = itertools.count()
    outcomes: list[int] = []

    def one(steps: list[tuple[Any, ...]]) -> None:
        outcomes.append(loop.run_until_complete(check(World(env, f"x{next(numbers)}-"), steps)))

    yield one
    loop.run_until_complete(env.database.close())
    loop.close()
    # Histories in which nothing fires would prove nothing.
    assert len(outcomes) < 300 or sum(outcomes) > 50


def sum_up(parts: tuple[list[Any], list[Any]]) -> list[Any]:
    return parts[0] + parts[1]


@given(steps=st.tuples(st.lists(_create, min_size=1, max_size=3), st.lists(_step, min_size=3, max_size=12)).map(sum_up))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_fires_is_what_the_pure_matcher_says_then_and_ever_after(play: Any, steps: list[tuple[Any, ...]]) -> None:
    play(steps)
