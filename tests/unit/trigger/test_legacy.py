"""What becomes of legacy rows, however damaged."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner_service.domain.graph import Graph
from runner_service.domain.validation import violations_of
from runner_service.nodes.registry import NodeRegistry
from trigger_service.domain.blueprints import on_offer
from trigger_service.domain.legacy import PLACEHOLDER, Gone, Refused, Translated, translate
from trigger_service.domain.old_table import read_old_row
from trigger_service.domain.old_triggers import OldRow, OldTriggers

OFFER = on_offer().types


def row(**given: Any) -> dict[str, Any]:
    return {"id": 7, "name": "w", "experiment_id": 3, "config": '{"nodes": []}', "status": "CREATED", **given}


def taken(older: OldTriggers | None = None, **given: Any) -> Translated:
    found = translate(row(**given), older or OldTriggers(), OFFER)
    assert isinstance(found, Translated)
    return found


def on(found: Translated) -> set[str]:
    assert tuple(found.enabled) == OFFER
    return {kind for kind, is_on in found.enabled.items() if is_on}


def old(**given: Any) -> OldTriggers:
    read = read_old_row({"id": 1, "trigger_type": "TRAIN", "config": '{"workflow_ids": [7]}', **given}, OFFER)
    assert isinstance(read, OldRow)
    return OldTriggers([read])


def test_configs_of_the_newest_form_are_taken() -> None:
    stored = json.dumps([{"trigger_type": "TRAIN", "is_enabled": True}, {"trigger_type": "EVAL", "is_enabled": False}])
    found = taken(trigger_configs=stored)
    assert (on(found), found.used, list(found.problems)) == ({"TRAIN"}, "trigger_configs", [])
    assert (found.row_key, found.experiment_id, found.name) == ("7", "3", "w")


def test_export_in_a_workflows_config_means_export_model() -> None:
    config = {"triggers": [{"type": "EXPORT", "enabled": True}, {"trigger_type": "LOAD_MODEL", "is_enabled": False}]}
    assert on(taken(config=json.dumps(config))) == {"EXPORT_MODEL"}
    assert on(taken(config={"triggers": ["TRAIN", "EXPORT"]})) == {"TRAIN", "EXPORT_MODEL"}


def test_the_old_table_counts_where_nothing_newer_does() -> None:
    assert on(taken(old())) == {"TRAIN"}
    assert on(taken(old(trigger_type="EXPORT", config=None, workflow_id=7))) == {"EXPORT_MODEL"}
    assert on(taken(old(is_enabled=0))) == set()
    newer = json.dumps([{"trigger_type": "TRAIN", "is_enabled": False}])
    assert on(taken(old(), trigger_configs=newer)) == set()
    assert on(taken(old(), trigger_configs="not json")) == {"TRAIN"}


def test_an_old_trigger_of_another_experiment_never_started_the_workflow() -> None:
    found = taken(old(experiment_id=9))
    assert on(found) == set()
    assert "another experiment" in found.problems[0]


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("null", ""),
        (None, ""),
        ("", "empty text"),
        ("not json", "not JSON"),
        ('{"TRAIN": true}', "a dictionary, not a list"),
        ('["TRAIN", "EVAL"]', "[0] is text, not a dictionary"),
        ("[null, 5, []]", "[1] is a number"),
        ('[{"trigger_type": "FLY", "is_enabled": true}]', "no known type: 'FLY'"),
        ('[{"is_enabled": true}]', "no known type"),
        ('[{"trigger_type": "TRAIN", "is_enabled": "yes"}]', "does not say whether TRAIN is on"),
        ('[{"trigger_type": "TRAIN"}]', "does not say whether TRAIN is on"),
        ('"text"', "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_damaged_triggers_are_told_of_and_are_off(stored: object, told: str) -> None:
    found = taken(trigger_configs=stored)
    assert on(found) == set()
    assert any(told in problem for problem in found.problems) if told else not found.problems


def test_of_repeated_types_the_first_counts() -> None:
    stored = [{"trigger_type": "TRAIN", "is_enabled": on} for on in (True, False)]
    found = taken(trigger_configs=json.dumps(json.dumps(stored)))  # encoded twice, as some writers did
    assert (on(found), len(found.remarks), list(found.problems)) == ({"TRAIN"}, 1, [])


@pytest.mark.parametrize(
    "given", [{"status": "deleted"}, {"deleted": 1}, {"is_deleted": True}, {"deleted_at": "2025-01-01"}]
)
def test_what_was_deleted_there_is_not_taken(given: dict[str, Any]) -> None:
    assert translate(row(**given), OldTriggers(), OFFER) == Gone("7")


@pytest.mark.parametrize(
    "given", [{"id": None}, {"experiment_id": None}, {"experiment_id": ""}, {"experiment_id": "x" * 300}]
)
def test_a_row_that_cannot_be_a_workflow_says_why(given: dict[str, Any]) -> None:
    assert isinstance(translate(row(**given), OldTriggers(), OFFER), Refused)


def test_names_are_made_to_fit() -> None:
    assert taken(name=None).name == "workflow 7"
    assert len(taken(name="x" * 500).name) == 200
    assert taken(name="a\0b\ud800").name == "ab?"


def test_an_old_row_that_cannot_be_used_says_why() -> None:
    for cells, told in (
        ({"trigger_type": "FLY", "workflow_id": 1}, "no known type"),
        ({"trigger_type": "TRAIN"}, "names no workflow"),
        ({"trigger_type": "TRAIN", "config": "{", "workflow_id": 1}, "not JSON"),
        ({"trigger_type": "TRAIN", "is_enabled": "x", "workflow_id": 1}, "whether it is on"),
        ({}, "no known type"),
    ):
        found = read_old_row(cells, OFFER)
        assert isinstance(found, str)
        assert told in found


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(OFFER),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["trigger_type", "type", "is_enabled", "enabled", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
_cell = _json | _json.map(json.dumps) | st.binary(max_size=12) | st.text(max_size=12)


@given(
    cells=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("id", "name", "experiment_id", "config", "trigger_configs", "status", "deleted", "deleted_at"), _cell
        ),
    )
)
def test_no_row_whatever_breaks_the_import(cells: dict[str, Any]) -> None:
    found = translate(cells, OldTriggers(), OFFER)
    if isinstance(found, Translated):
        assert tuple(found.enabled) == OFFER
        assert "\0" not in found.name + found.experiment_id


def test_the_placeholder_is_a_graph_that_the_runner_takes_and_that_never_ends_by_itself() -> None:
    registry = NodeRegistry.load()
    assert violations_of(Graph.model_validate(PLACEHOLDER), registry.facts) == []
    assert {node["type"] for node in PLACEHOLDER["nodes"]} == {"Constant", "Manual"}
