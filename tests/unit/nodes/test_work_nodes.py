"""Constant, Expression, Branch, Output and Delay."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from runner_service.nodes import Branch, Constant, Delay, Expression, Output
from tests.support.node_host import Completed, NodeLife, Suspended
from wakepoint.chassis.clock import ManualClock
from wakepoint.nodes import Node, NodeError


async def output_of(node: Node, clock: ManualClock, **life: Any) -> Any:
    outcome = await NodeLife(clock, lambda: node, **life).passage()
    assert isinstance(outcome, Completed)
    return outcome.output


async def test_a_constant_gives_out_its_value(manual_clock: ManualClock) -> None:
    assert await output_of(Constant(value={"a": [1, None]}), manual_clock) == {"a": [1, None]}


async def test_an_expression_sees_input_inputs_and_run(manual_clock: ManualClock) -> None:
    node = Expression(expression="{'sum': input.n + inputs.m, 'run': run.run_id, 'job': run.experiment_id}")
    value = await output_of(node, manual_clock, run_input={"n": 1}, inputs={"m": 2})
    assert value == {"sum": 3, "run": "run-1", "job": "experiment-1"}


async def test_an_expression_without_a_value_fails_for_good(manual_clock: ManualClock) -> None:
    with pytest.raises(NodeError, match="there is no key") as caught:
        await output_of(Expression(expression="inputs.absent"), manual_clock)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"input": {"x": 3}}, {"true": {"x": 3}}),
        ({"input": {"x": 1}}, {"false": {"x": 1}}),
    ],
)
async def test_a_branch_passes_its_input_on_at_one_output(
    manual_clock: ManualClock, inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert await output_of(Branch(condition="inputs.input.x > 2"), manual_clock, inputs=inputs) == expected


async def test_a_branch_without_an_input_passes_the_conditions_value_on(manual_clock: ManualClock) -> None:
    assert await output_of(Branch(condition="input.x > 2"), manual_clock, run_input={"x": 1}) == {"false": False}


async def test_a_branch_whose_condition_is_neither_true_nor_false_fails_for_good(manual_clock: ManualClock) -> None:
    with pytest.raises(NodeError, match="must be true or false, not int") as caught:
        await output_of(Branch(condition="input.x"), manual_clock, run_input={"x": 1})
    assert not caught.value.retryable


async def test_an_output_passes_on_what_arrives_under_its_name_or_its_id(manual_clock: ManualClock) -> None:
    node = Output()
    assert await output_of(node, manual_clock, inputs={"input": [1]}) == [1]
    assert node.output_name == "node"
    assert Output(id="node", name="score").output_name == "score"


async def test_a_delay_is_one_row_until_its_time_and_passes_its_input_on(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Delay(seconds=90), inputs={"input": {"x": 1}})
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time == manual_clock.now() + timedelta(seconds=90)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(89.9)
    assert not living.done()
    await manual_clock.advance(0.1)
    assert await living == [{"x": 1}]
    assert not life.host.pending


async def test_a_wake_up_does_not_shorten_a_delay(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Delay(seconds=90))
    wake_time = manual_clock.now() + timedelta(seconds=90)
    living = asyncio.create_task(life.complete())
    await manual_clock.advance(30)
    life.host.deliver("e1", None)
    await manual_clock.settle()
    assert life.suspended is not None
    assert life.suspended.wake_time == wake_time
    await manual_clock.advance(60)
    assert await living == [{"wake_time": wake_time.isoformat()}]


async def test_a_delay_ends_with_its_timer_although_this_clock_is_a_little_behind(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Delay(seconds=90))
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time is not None
    await manual_clock.advance(89.9)
    life.host.fire(outcome.wake_time)
    assert isinstance(await life.passage(), Completed)


@pytest.mark.parametrize("properties", [{"seconds": 0}, {"until": "2026-01-01T00:59:00+01:00"}])
async def test_a_time_that_has_come_is_no_wait(manual_clock: ManualClock, properties: dict[str, Any]) -> None:
    assert await output_of(Delay(**properties), manual_clock, inputs={"input": 1}) == 1


async def test_a_delay_of_thirty_years_is_a_time_like_any_other(manual_clock: ManualClock) -> None:
    life = NodeLife(manual_clock, lambda: Delay(seconds=30 * 365.25 * 86_400))
    outcome = await life.passage()
    assert isinstance(outcome, Suspended)
    assert outcome.wake_time is not None
    assert outcome.wake_time.year == 2056
