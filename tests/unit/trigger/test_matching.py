from datetime import UTC, datetime, timedelta

import pytest

from trigger_service.domain.configs import TriggerConfig
from trigger_service.domain.events import JobEvent
from trigger_service.domain.matching import ConditionError, Facts, Verdict, rule
from trigger_service.usecases.conditions import Conditions

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def config(**options: object) -> TriggerConfig:
    return TriggerConfig.model_validate({"trigger_type": "TRAIN", "is_enabled": True, **options})


def event(**fields: object) -> JobEvent:
    given = {"experiment_id": "e1", "job_id": "j1", "job_type": "TRAIN", "job_name": "nightly-7", "status": "COMPLETE"}
    return JobEvent.model_validate({**given, **fields})


def facts(**changes: object) -> Facts:
    given = {"now": NOW, "max_depth": 8, "workflow_experiment_id": "e1", **changes}
    return Facts(**given)  # type: ignore[arg-type]


def verdict(the_config: TriggerConfig | None, the_event: JobEvent, the_facts: Facts | None = None) -> Verdict:
    return rule(the_config, the_event, the_facts or facts(), Conditions().about(the_event)).verdict


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        ({}, {}, Verdict.MATCHED),
        ({"is_enabled": False}, {}, Verdict.TRIGGER_DISABLED),
        ({}, {"job_type": "EVAL"}, Verdict.OTHER_TYPE),
        ({}, {"experiment_id": "e2"}, Verdict.OTHER_EXPERIMENT),
        ({"source_experiment_ids": ["e2"]}, {"experiment_id": "e2"}, Verdict.MATCHED),
        ({"source_experiment_ids": ["e2"]}, {}, Verdict.OTHER_EXPERIMENT),
        ({"source_experiment_ids": ["e2", "e1"]}, {}, Verdict.MATCHED),
        ({}, {"status": "FAILED"}, Verdict.STATUS_MISMATCH),
        ({"on_statuses": ["FAILED", "STOPPED"]}, {"status": "FAILED"}, Verdict.MATCHED),
        ({"on_statuses": ["FAILED"]}, {"status": "COMPLETE"}, Verdict.STATUS_MISMATCH),
        ({"job_name_pattern": "nightly-*"}, {}, Verdict.MATCHED),
        ({"job_name_pattern": "nightly-?"}, {"job_name": "nightly-77"}, Verdict.NAME_MISMATCH),
        ({"job_name_pattern": "Nightly-*"}, {}, Verdict.NAME_MISMATCH),
        ({"job_name_pattern": "nightly"}, {}, Verdict.NAME_MISMATCH),
        ({"condition": "job.attributes.acc > 0.9"}, {"attributes": {"acc": 0.95}}, Verdict.MATCHED),
        ({"condition": "job.attributes.acc > 0.9"}, {"attributes": {"acc": 0.5}}, Verdict.CONDITION_FALSE),
        ({"condition": "job.attributes.acc > 0.9"}, {}, Verdict.CONDITION_ERROR),
        ({"condition": "job.job_name"}, {}, Verdict.CONDITION_ERROR),
        ({"condition": "this is no CEL"}, {}, Verdict.CONDITION_ERROR),
        ({"condition": "job.attempt == 2"}, {"attempt": 2}, Verdict.MATCHED),
        ({"expire_time": NOW + timedelta(seconds=1)}, {}, Verdict.MATCHED),
        ({"expire_time": NOW}, {}, Verdict.EXPIRED),
        ({}, {"depth": 8}, Verdict.MATCHED),
        ({}, {"depth": 9}, Verdict.LOOP_LIMIT),
    ],
)
def test_each_option_restricts_as_it_says(
    options: dict[str, object], fields: dict[str, object], expected: Verdict
) -> None:
    assert verdict(config(**options), event(**fields)) == expected


def test_a_workflow_without_a_config_for_the_type_is_of_another_type() -> None:
    assert verdict(None, event()) == Verdict.OTHER_TYPE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"deleted": True}, Verdict.WORKFLOW_DELETED),
        ({"disabled_reason": "refused five times"}, Verdict.TRIGGER_DISABLED),
        ({"paused": True}, Verdict.PAUSED),
    ],
)
def test_the_workflow_as_a_whole_can_stand_in_the_way(changes: dict[str, object], expected: Verdict) -> None:
    assert verdict(config(), event(), facts(**changes)) == expected


def test_a_pause_holds_only_what_would_have_matched() -> None:
    assert verdict(config(job_name_pattern="x"), event(), facts(paused=True)) == Verdict.NAME_MISMATCH


def test_the_condition_is_not_evaluated_for_an_event_that_something_cheaper_rules_out() -> None:
    def never(_text: str) -> bool:
        raise AssertionError("evaluated")

    the_event = event(status="FAILED")
    assert rule(config(condition="true"), the_event, facts(), never).verdict == Verdict.STATUS_MISMATCH


def test_a_condition_without_a_value_says_why() -> None:
    the_event = event()
    ruling = rule(config(condition="job.attributes.acc > 1"), the_event, facts(), Conditions().about(the_event))
    assert (ruling.verdict, ruling.detail) == (Verdict.CONDITION_ERROR, 'there is no key "acc"')


def test_a_condition_error_is_raised_with_the_reason() -> None:
    with pytest.raises(ConditionError, match='there is no key "missing"'):
        Conditions().about(event())("job.missing == 1")


def test_a_pattern_that_backtracks_in_a_naive_matcher_is_quick() -> None:
    the_event = event(job_name="a" * 1_000)
    assert verdict(config(job_name_pattern="*a" * 100 + "b"), the_event) == Verdict.NAME_MISMATCH
