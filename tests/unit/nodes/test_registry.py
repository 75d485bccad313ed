"""Finding, refusing and describing node types."""

import inspect
import re
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from runner_service import nodes as builtin
from runner_service.domain.graph import Edge, Graph, GraphNode
from runner_service.domain.validation import violations_of
from runner_service.nodes import loading
from runner_service.nodes.loading import NodeLoadError
from runner_service.nodes.registry import NodeRegistry
from tools.node_docs import MARKER, generated
from wakepoint.nodes import Context, Node, TriggerNode

DOCS = Path(__file__).parents[3] / "docs" / "nodes.md"

BUILTIN_TYPES = {
    "Approval",
    "Branch",
    "Constant",
    "Delay",
    "Expression",
    "HttpRequest",
    "Interval",
    "JobCompleted",
    "Manual",
    "Output",
    "PublishEvent",
    "RunJob",
    "Schedule",
    "Topic",
    "WaitForAll",
    "WaitForAny",
    "Webhook",
}


@pytest.fixture(scope="module")
def registry() -> NodeRegistry:
    return NodeRegistry.load()


def write(folder: Path, text: str) -> Path:
    file = folder / "my_nodes.py"
    file.write_text("from typing import Any\nfrom wakepoint.nodes import *\n" + textwrap.dedent(text))
    return file


def test_the_built_in_types_are_there_once_although_they_are_an_entry_point_as_well(registry: NodeRegistry) -> None:
    assert set(registry.facts) == BUILTIN_TYPES == set(builtin.__all__)


def test_every_type_says_what_it_does_and_what_its_properties_mean(registry: NodeRegistry) -> None:
    for described in registry.describe():
        assert described.description, described.type
        assert described.properties_schema["type"] == "object"
        for name, schema in described.properties_schema.get("properties", {}).items():
            assert schema.get("description"), f"{described.type}.{name}"
        assert "id" not in described.properties_schema.get("properties", {})


def test_descriptions_are_sorted_and_hold_kind_inputs_and_outputs(registry: NodeRegistry) -> None:
    described = registry.describe()
    assert [d.type for d in described] == sorted(BUILTIN_TYPES)
    by_type = {d.type: d for d in described}
    assert (by_type["Approval"].kind, by_type["Approval"].outputs) == ("trigger", ("approved", "rejected"))
    assert (by_type["RunJob"].kind, by_type["Output"].inputs) == ("wait", ("input",))
    assert by_type["Interval"].properties_schema["properties"]["max_events"]["default"] == 1


def test_only_branch_and_approval_give_a_value_on_one_of_several_outputs(registry: NodeRegistry) -> None:
    assert {name for name, facts in registry.facts.items() if facts.exclusive_outputs} == {"Approval", "Branch"}
    triggers = {name for name, facts in registry.facts.items() if facts.is_trigger}
    assert triggers == {"Approval", "Interval", "JobCompleted", "Manual", "Schedule", "Topic", "Webhook"}


def test_the_facts_validate_a_whole_graph(registry: NodeRegistry) -> None:
    graph = Graph(
        nodes=(
            GraphNode(id="every", type="Interval", properties={"interval_seconds": "often", "nope": 1}),
            GraphNode(id="ask", type="Approval"),
            GraphNode(id="what", type="Oracle"),
        ),
        edges=(Edge(source="every", target="ask"), Edge(source="ask", source_output="maybe", target="every")),
    )
    assert {violation.field for violation in violations_of(graph, registry.facts)} == {
        "graph.nodes[0].properties.interval_seconds",
        "graph.nodes[0].properties.nope",
        "graph.nodes[2].type",
        "graph.edges[1].source_output",
        "graph.edges",
    }


def test_approved_and_rejected_may_lead_to_the_same_input(registry: NodeRegistry) -> None:
    graph = Graph(
        nodes=(GraphNode(id="ask", type="Approval"), GraphNode(id="out", type="Output")),
        edges=(
            Edge(source="ask", source_output="approved", target="out"),
            Edge(source="ask", source_output="rejected", target="out"),
        ),
    )
    assert violations_of(graph, registry.facts) == []


def test_a_type_that_is_not_installed_is_a_key_error(registry: NodeRegistry) -> None:
    with pytest.raises(KeyError):
        registry.get("Oracle")
    with pytest.raises(KeyError):
        registry.build("Oracle", "n", {}, {})


def test_a_users_file_adds_the_public_node_classes_that_it_defines(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '''
        class _Base(Node):
            factor: int = 2
            """By what to multiply."""

        class Multiply(_Base):
            """Multiplies."""

            async def process(self, context: Context) -> Any:
                return context.inputs["input"] * self.factor

        class Listen(TriggerNode):
            """Listens."""
        ''',
    )
    registry = NodeRegistry.load([file])
    assert set(registry.facts) - BUILTIN_TYPES == {"Multiply", "Listen"}
    (described,) = (d for d in registry.describe() if d.type == "Multiply")
    assert described.properties_schema["properties"]["factor"]["description"] == "By what to multiply."
    assert registry.facts["Listen"].is_trigger


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    files = []
    for name in ("One", "Two"):
        (tmp_path / name).mkdir()
        files.append(write(tmp_path / name, f"class {name}(TriggerNode):\n    pass"))
    assert set(NodeRegistry.load(files).facts) - BUILTIN_TYPES == {"One", "Two"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            """
            class Old(Node):
                async def process(self, context):
                    while True:
                        yield "output", 1
            """,
            r"Old\.process\(\) yields.*TriggerNode.*wait_for_trigger_event.*return where it yielded",
        ),
        (
            """
            class Older(Node):
                def process(self, context):
                    yield 1
            """,
            r"Older\.process\(\) yields",
        ),
        ("class Manual(TriggerNode): pass", r"two node types are called 'Manual': .*Manual.* and .*my_nodes.*Manual"),
        ("class Odd(Node):\n    kind = 'odd'", r"Odd\.kind must be"),
        ("class Fake(Node):\n    kind = 'trigger'", "Fake must be a TriggerNode"),
        ("class Quick(Node):\n    repeatable = True\n    def process(self, context): return 1", "plain function"),
        ("class Opaque(Node):\n    lock: type(print) = print", "Opaque has a property without a JSON form"),
        ("class Endless(TriggerNode):\n    max_events: int = 0", "Endless.max_events must default to 1"),
        ("1 / 0", r"my_nodes\.py cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_run_is_refused_when_it_is_loaded(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NodeLoadError, match=message):
        NodeRegistry.load([write(tmp_path, text)])


def test_a_plain_function_may_be_the_work_of_a_node(tmp_path: Path) -> None:
    file = write(tmp_path, "class Slow(Node):\n    def process(self, context): return 1")
    assert "Slow" in NodeRegistry.load([file]).facts


@pytest.mark.parametrize("name", ["missing.py", "nodes.txt"])
def test_a_file_that_is_no_python_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(NodeLoadError, match=name.replace(".", r"\.")):
        NodeRegistry.load([tmp_path / name])


class Shout(Node):
    """Installed by a package."""

    async def process(self, context: Context) -> Any:
        return str(context.inputs["input"]).upper()


def entry_point(value: str) -> EntryPoint:
    return EntryPoint("theirs", value, loading.ENTRY_POINT_GROUP)


def test_an_entry_point_may_name_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "entry_points", lambda group: [entry_point(f"{__name__}:Shout")])
    monkeypatch.setitem(__import__("sys").modules, __name__, inspect.getmodule(Shout))
    assert "Shout" in NodeRegistry.load().facts


@pytest.mark.parametrize(
    ("value", "message"),
    [("os:sep", "names neither a module nor a subclass"), ("no_such_package.nodes", "cannot be imported")],
)
def test_an_entry_point_that_names_no_node_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setattr(loading, "entry_points", lambda group: [entry_point(value)])
    with pytest.raises(NodeLoadError, match=message):
        NodeRegistry.load()


def test_the_documentation_names_every_type_and_every_property(registry: NodeRegistry) -> None:
    text = DOCS.read_text()
    common = TriggerNode.model_fields.keys()
    for described in registry.describe():
        _, found, section = text.partition(f"\n### {described.type}\n")
        assert found, described.type
        section = section.partition("\n### ")[0]
        for name in described.properties_schema.get("properties", {}):
            assert f"`{name}`" in (text if name in common else section), f"{described.type}.{name}"


def test_the_generated_part_of_the_documentation_is_up_to_date() -> None:
    _, found, rest = DOCS.read_text().partition(MARKER)
    assert found
    assert rest.strip() == generated().strip(), "run python tools/node_docs.py"


def test_the_documentations_examples_are_nodes_that_can_be_loaded(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    files = []
    for number, block in enumerate(blocks):
        files.append(tmp_path / f"example_{number}.py")
        files[-1].write_text(block)
    assert set(NodeRegistry.load(files).facts) - BUILTIN_TYPES == {"WordCount", "Orders", "Reminder"}
