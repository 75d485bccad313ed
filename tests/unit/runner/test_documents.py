"""What the documents name is there."""

import re
from pathlib import Path

from runner_service.domain.history import EventType
from runner_service.domain.projection import NodeState, RunState

ROOT = Path(__file__).parents[3]


def test_every_test_that_guarantees_names_is_where_it_says() -> None:
    named = re.findall(r"\[`(\w+)`\]\(\.\./([^)]+)\)", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 30
    for name, file in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file} has no {name}"


def test_the_state_machine_names_real_states_lines_and_statements() -> None:
    text = (ROOT / "docs" / "state-machine.md").read_text()
    states = {state.value for state in (*RunState, *NodeState)}
    assert set(re.findall(r"^    ([A-Z]+) -->", text, re.MULTILINE)) <= states
    assert set(re.findall(r"\b((?:Run|Node)[A-Z][a-z]\w+)\b", text)) <= {*EventType, "RunFault"}
    sql = "\n".join(file.read_text() for file in (ROOT / "runner_service" / "storage").glob("*.sql"))
    for row in re.findall(r"\| (`[a-z_`, ]+`) \|$", text, re.MULTILINE):
        for name in re.findall(r"`([a-z_]+)`", row):
            assert f"-- name: {name}\n" in sql, name


def test_links_lead_somewhere() -> None:
    for document in ("state-machine.md", "guarantees.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / document).read_text()):
            assert (ROOT / "docs" / target).exists(), f"{document}: {target}"
