from typing import Any

import pytest

from trigger_service.domain.blueprints import BUILT_IN, Blueprint, Blueprints, on_offer
from trigger_service.domain.config_checks import check_configs
from trigger_service.usecases.conditions import Conditions
from wakepoint.chassis.errors import InvalidArgument

OFFER = on_offer()


def six(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Six sound configs, all off; `changes` by trigger type."""
    return [{"trigger_type": kind, "is_enabled": False, **changes.get(kind, {})} for kind in OFFER.types]


def faults(given: object, offer: Blueprints = OFFER) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as refused:
        check_configs(given, offer, Conditions().problem_of)
    return [(violation.field, violation.description) for violation in refused.value.violations]


def test_sound_configs_come_back_in_the_blueprints_order() -> None:
    checked = check_configs(list(reversed(six(EVAL={"is_enabled": True}))), OFFER, Conditions().problem_of)
    assert [config.trigger_type for config in checked] == list(OFFER.types)
    assert [config.trigger_type for config in checked if config.is_enabled] == ["EVAL"]


def test_there_are_six_built_in_blueprints_and_all_are_off() -> None:
    assert [b.trigger_type for b in BUILT_IN] == [
        "TRAIN",
        "DOWNLOAD_MODEL",
        "LOAD_MODEL",
        "EXPORT_MODEL",
        "EVAL",
        "GENERATE",
    ]
    assert not any(blueprint.default_is_enabled for blueprint in BUILT_IN)


def test_too_few_configs_are_told_with_their_number_and_what_is_missing() -> None:
    assert faults(six()[:5]) == [
        ("configs", "exactly 6 trigger configurations are required, not 5"),
        ("configs", "Missing trigger_type: GENERATE"),
    ]


def test_every_fault_of_every_config_is_told_at_once() -> None:
    given: list[object] = [
        {"trigger_type": "TRAIN", "is_enabled": "yes", "condition": "job.x >"},
        {"trigger_type": "TRAIN", "is_enabled": True},
        {"trigger_type": "NONSENSE", "is_enabled": True},
        {"trigger_type": "EVAL"},
        "GENERATE",
        {"trigger_type": "EXPORT_MODEL", "is_enabled": True, "on_statuses": ["DONE"], "delay": "-5s", "extra": 1},
    ]
    assert faults(given) == [
        ("configs[0].is_enabled", "must be a boolean"),
        ("configs[0].condition", "does not compile: line 1, column 8: the expression ends too early"),
        ("configs[1].trigger_type", "Duplicate trigger_type: TRAIN"),
        ("configs[2].trigger_type", "Invalid trigger_type: NONSENSE"),
        ("configs[3].is_enabled", "must be a boolean"),
        ("configs[4]", "must be a dictionary"),
        ("configs[5].extra", "is not a field of a trigger configuration"),
        (
            "configs[5].on_statuses[0]",
            "must be one of QUEUED, LAUNCHING, RUNNING, COMPLETE, FAILED, STOPPED, CANCELLED, UNAUTHORIZED, DELETED",
        ),
        ("configs[5].delay", "must not be negative"),
        ("configs", "Missing trigger_type: DOWNLOAD_MODEL, LOAD_MODEL, GENERATE"),
    ]


@pytest.mark.parametrize("given", [None, {}, "configs", 6])
def test_what_is_no_list_is_refused(given: object) -> None:
    assert faults(given) == [("configs", "must be a list")]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("condition", 5, "must be a string"),
        ("condition", "job.a == jobb.b", "does not compile: line 1, column 14: unknown name 'jobb.b'"),
        ("job_name_pattern", ["x"], "must be a string"),
        ("job_name_pattern", "x" * 256, "must not be longer than 255 characters"),
        ("on_statuses", "COMPLETE", "must be a list of strings"),
        ("source_experiment_ids", [1], "must be a list of strings"),
        ("source_experiment_ids", ["x"] * 101, "must not be more than 100"),
        ("expire_time", "tomorrow", "must be a time such as 2027-01-31T12:00:00Z"),
        ("expire_time", "2027-01-31T12:00:00", "must be a time such as 2027-01-31T12:00:00Z"),
        ("max_firings", -3, "must be a whole number from 0 to 2147483647"),
        ("while_paused", "DROP", "must be one of HOLD, DROP_AND_RECORD"),
    ],
)
def test_a_faulty_option_is_named(name: str, value: object, fault: str) -> None:
    assert faults(six(TRAIN={name: value})) == [(f"configs[0].{name}", fault)]


def test_an_empty_source_experiment_is_named_by_its_place() -> None:
    assert faults(six(TRAIN={"source_experiment_ids": ["a", ""]})) == [
        ("configs[0].source_experiment_ids[1]", "must not be empty")
    ]


def test_options_are_kept_as_they_were_given() -> None:
    options = {
        "is_enabled": True,
        "condition": "job.attributes.acc > 0.9",
        "job_name_pattern": "n-*",
        "on_statuses": ["FAILED", "COMPLETE", "FAILED"],
        "source_experiment_ids": ["e2"],
        "expire_time": "2027-01-31T12:00:00+01:00",
    }
    train = check_configs(six(TRAIN=options), OFFER, Conditions().problem_of)[0]
    assert train.to_stored() == {
        "trigger_type": "TRAIN",
        "is_enabled": True,
        "condition": "job.attributes.acc > 0.9",
        "job_name_pattern": "n-*",
        "on_statuses": ["FAILED", "COMPLETE"],
        "source_experiment_ids": ["e2"],
        "expire_time": "2027-01-31T12:00:00+01:00",
    }


def test_exactly_as_many_configs_are_wanted_as_are_on_offer() -> None:
    more = on_offer([Blueprint(trigger_type="FINETUNE", name="On Fine-Tuning Completed")])
    assert faults(six(), more) == [
        ("configs", "exactly 7 trigger configurations are required, not 6"),
        ("configs", "Missing trigger_type: FINETUNE"),
    ]


def test_a_hundred_thousand_configs_are_refused_by_their_number_alone() -> None:
    assert faults([{}] * 100_000) == [("configs", "exactly 6 trigger configurations are required, not 100000")]


def test_where_configs_may_be_left_out_a_hundred_thousand_are_refused_by_their_number_as_well() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_configs([{}] * 100_000, OFFER, Conditions().problem_of, complete=False)
    assert [violation.description for violation in refused.value.violations] == [
        "at most 6 trigger configurations can be given, not 100000"
    ]


@pytest.mark.parametrize("kind", ["TRAIN", "MANUAL"])
def test_a_blueprint_cannot_be_offered_twice_or_take_a_reserved_type(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        on_offer([Blueprint(trigger_type=kind, name="x")])
