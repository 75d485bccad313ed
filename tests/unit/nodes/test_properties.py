"""What a graph may say about a node, and what a node is built from."""

from typing import Any

import pytest
from pydantic import Field, model_validator

from runner_service.nodes.loading import find_classes
from runner_service.nodes.registry import NodeRegistry
from wakepoint.nodes import Node, NodeError, TriggerNode, cel_field

VALUES = {"input": {"n": 3, "name": "ada"}, "inputs": {"score": {"accuracy": 0.5}}, "run": {"run_id": "r1"}}


class Custom(Node):
    """Has a property of every sort."""

    when: str = cel_field(variables=("job",), default="true")
    sizes: tuple[int, ...] = ()
    nested: dict[str, list[str]] = Field(default_factory=dict)

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        if len(self.sizes) > 3:
            raise RuntimeError("too many sizes")


class Forgiving(Node):
    """Takes an old name for a property."""

    sizes: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, data: Any) -> Any:
        return {"sizes" if key == "dimensions" else key: value for key, value in data.items()}


class ForgivingTrigger(TriggerNode):
    """Looks at its properties before they are checked."""

    @model_validator(mode="before")
    @classmethod
    def _look(cls, data: Any) -> Any:
        return data


@pytest.fixture(scope="module")
def registry() -> NodeRegistry:
    return NodeRegistry([*find_classes(()), Custom, Forgiving, ForgivingTrigger])


def faults(registry: NodeRegistry, node_type: str, properties: dict[str, Any]) -> dict[str, str]:
    return {fault.field: fault.description for fault in registry.facts[node_type].check_properties(properties)}


def test_every_fault_is_named_at_once(registry: NodeRegistry) -> None:
    found = faults(
        registry,
        "Schedule",
        {"cron": "61 * * * *", "time_zone": "Europe/Nowhere", "missed": "twice", "colour": 1, "max_events": -1},
    )
    assert found["cron"] == "not a cron expression: Bad minute"
    assert found["time_zone"] == "no time zone is called 'Europe/Nowhere'"
    assert found["colour"] == "unknown property"
    assert found.keys() == {"cron", "time_zone", "missed", "colour", "max_events"}


@pytest.mark.parametrize(
    ("node_type", "properties", "field"),
    [
        ("Interval", {"interval_seconds": "10"}, "interval_seconds"),
        ("Interval", {"interval_seconds": 0}, "interval_seconds"),
        ("Interval", {"emit_on_start": "yes"}, "emit_on_start"),
        ("Interval", {"batch_size": 2}, "batch_size"),
        ("Interval", {"max_events": True}, "max_events"),
        ("Schedule", {}, "cron"),
        ("Schedule", {"cron": "0 0 30 2 *"}, "cron"),
        ("Schedule", {"cron": "* * * * *", "time_zone": ""}, "time_zone"),
        ("Schedule", {"cron": "* * * * *", "time_zone": "../../etc/passwd"}, "time_zone"),
        ("Delay", {}, ""),
        ("Delay", {"seconds": 1, "until": "2026-01-01T00:00:00Z"}, ""),
        ("Delay", {"until": "2026-01-01T00:00:00"}, "until"),
        ("Delay", {"seconds": -1}, "seconds"),
        ("Delay", {"seconds": 1e300}, "seconds"),
        ("Expression", {}, "expression"),
        ("Expression", {"expression": 7}, "expression"),
        ("Expression", {"expression": "inputs."}, "expression"),
        ("Expression", {"expression": "job.x"}, "expression"),
        ("Branch", {"condition": "${input.n} > 1"}, "condition"),
        ("Constant", {"value": {"a": ["${nope}"]}}, "value.a[0]"),
        ("Constant", {"value": "${input.n"}, "value"),
        ("Constant", {"value": 1, "id": "x"}, "id"),
        ("Webhook", {"methods": []}, "methods"),
        ("Webhook", {"methods": ["POST", "post"]}, "methods[1]"),
        ("Webhook", {"scope": "experiment"}, "scope"),
        ("Webhook", {"signature": "github"}, ""),
        ("Webhook", {"secret_ref": "X"}, ""),
        ("Webhook", {"signature": "secret", "secret_ref": "${input.name}"}, "secret_ref"),
        ("Manual", {"max_events": "${input.n}"}, "max_events"),
        ("Approval", {"approvers": "ada"}, "approvers"),
        ("Approval", {"notify_url": "ftp://x"}, "notify_url"),
        ("RunJob", {"job_type": "EVAL"}, "command"),
        ("RunJob", {"job_type": "EVAL", "command": []}, "command"),
        ("RunJob", {"job_type": "EVAL", "command": [""]}, "command"),
        ("RunJob", {"job_type": "eval", "command": ["true"]}, "job_type"),
        ("RunJob", {"job_type": "EVAL", "command": ["true"], "env": {"A=B": "1"}}, "env"),
        ("RunJob", {"job_type": "EVAL", "command": ["true"], "resources": {"cpu": 1}}, "resources"),
        ("Custom", {"when": "input.n > 1"}, "when"),
        ("Custom", {"sizes": [1, "x"]}, "sizes[1]"),
        ("Custom", {"sizes": [1, 2, 3, 4]}, ""),
        ("ForgivingTrigger", {"max_events": "5"}, "max_events"),
    ],
)
def test_a_property_that_does_not_fit_is_named(
    registry: NodeRegistry, node_type: str, properties: dict[str, Any], field: str
) -> None:
    assert list(faults(registry, node_type, properties)) == [field]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_the_database_cannot_hold_is_named_with_its_path(registry: NodeRegistry, text: str) -> None:
    found = faults(registry, "Constant", {"value": {"list": ["fine", text]}})
    assert len(found) == 1
    assert "list[1]" in next(iter(found))


@pytest.mark.parametrize("backend", ["kubernetes", "ray"])
def test_a_backend_that_is_not_installed_is_refused(registry: NodeRegistry, backend: str) -> None:
    found = faults(registry, "RunJob", {"job_type": "EVAL", "command": ["true"], "backend": backend})
    assert "is not installed; there are: subprocess" in found["backend"]


@pytest.mark.parametrize(
    ("node_type", "properties"),
    [
        ("Interval", {"interval_seconds": "${input.n}", "initial_delay_seconds": 0}),
        ("Interval", {"stale_policy": "none", "adaptive_timeout": False, "expires_after_seconds": None}),
        ("Schedule", {"cron": "${input.cron}", "time_zone": "${input.zone}"}),
        ("Schedule", {"cron": "30 7 * * MON-FRI", "time_zone": "Europe/Berlin", "missed": "all"}),
        ("Delay", {"until": "${input.time}"}),
        ("Delay", {"until": "2026-12-24T18:00:00+01:00"}),
        ("Constant", {}),
        ("Constant", {"value": "$${not.an expression"}),
        ("Expression", {"expression": "'${' + input.name"}),
        ("Approval", {"approvers": ["ada", "${input.name}"], "notify_url": "https://x/${run.run_id}"}),
        ("Approval", {"approvers": "${input.people}"}),
        ("Webhook", {"methods": ["PUT"], "signature": "standard", "secret_ref": "STRIPE"}),
        ("RunJob", {"job_type": "EVAL", "command": ["python", "-c", "${input.name}"], "env": {"A": "b"}}),
        ("Forgiving", {"dimensions": [1, 2]}),
        ("Custom", {"when": "job.n > 1", "sizes": [1, 2], "nested": {"a": ["${input.name}"]}}),
    ],
)
def test_what_fits_or_may_fit_once_it_is_computed_is_accepted(
    registry: NodeRegistry, node_type: str, properties: dict[str, Any]
) -> None:
    assert faults(registry, node_type, properties) == {}


def test_templates_are_computed_when_a_node_is_built(registry: NodeRegistry) -> None:
    node = registry.build("Interval", "every", {"interval_seconds": "${input.n * 20}"}, VALUES)
    assert (node.id, node.model_dump()["interval_seconds"]) == ("every", 60)
    constant = registry.build("Constant", "c", {"value": {"who": "${input.name}", "run": "id ${run.run_id}"}}, VALUES)
    assert constant.model_dump()["value"] == {"who": "ada", "run": "id r1"}


def test_expressions_are_left_to_the_node_that_evaluates_them(registry: NodeRegistry) -> None:
    node = registry.build("Expression", "e", {"expression": "'${' + input.name"}, VALUES)
    assert node.model_dump()["expression"] == "'${' + input.name"


@pytest.mark.parametrize(
    ("node_type", "properties", "message"),
    [
        ("Interval", {"interval_seconds": "${input.name}"}, "property interval_seconds: .*number"),
        ("Constant", {"value": {"a": ["${inputs.absent}"]}}, r"property value: a\[0\]: there is no key \"absent\""),
        ("Schedule", {"cron": "${input.name}"}, "property cron: not a cron expression"),
        ("Manual", {"expires_after_seconds": "${input.name}"}, "property expires_after_seconds: .*number"),
        ("Delay", {}, "exactly one of seconds and until"),
    ],
)
def test_a_property_that_turns_out_wrong_fails_the_node_for_good(
    registry: NodeRegistry, node_type: str, properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        registry.build(node_type, "n", properties, VALUES)
    assert not caught.value.retryable
