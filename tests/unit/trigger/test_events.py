from datetime import timedelta
from typing import Any

import pytest

from trigger_service.domain.events import JobEvent, KnownJob, completed, job_event
from wakepoint.chassis.errors import InvalidArgument

SOUND: dict[str, Any] = {"experiment_id": "e", "job_id": "j", "job_type": "TRAIN", "status": "COMPLETE"}


def faulty_fields(fields: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidArgument) as refused:
        job_event(fields)
    return [violation.field for violation in refused.value.violations]


def test_every_faulty_field_of_an_event_is_named() -> None:
    given = {"experiment_id": "", "job_id": "j" * 256, "status": "DONE", "attempt": 0, "depth": -1}
    assert faulty_fields(given) == [
        "event.experiment_id",
        "event.job_id",
        "event.attempt",
        "event.status",
        "event.depth",
    ]


def test_ids_are_bounded_in_bytes_because_index_rows_are() -> None:
    assert faulty_fields({**SOUND, "event_id": "ü" * 128}) == ["event.event_id"]
    assert job_event({**SOUND, "event_id": "ü" * 127}).event_id == "ü" * 127


def test_attributes_are_bounded_as_json() -> None:
    assert faulty_fields({**SOUND, "attributes": {"x": "y" * 300_000}}) == ["event.attributes"]


@pytest.mark.parametrize("seconds", [0, -5, 367 * 86_400])
def test_a_heartbeat_timeout_that_cannot_be_kept_is_refused(seconds: int) -> None:
    assert faulty_fields({**SOUND, "heartbeat_timeout": timedelta(seconds=seconds)}) == ["event.heartbeat_timeout"]


def test_what_an_event_leaves_empty_is_taken_from_the_known_job() -> None:
    event = JobEvent.model_validate({**SOUND, "job_type": "", "job_name": "given"})
    filled = completed(event, KnownJob("EVAL", "known", {"a": 1}))
    assert (filled.job_type, filled.job_name, filled.attributes) == ("EVAL", "given", {"a": 1})


def test_an_unknown_job_needs_a_type() -> None:
    event = JobEvent.model_validate({**SOUND, "job_type": ""})
    with pytest.raises(InvalidArgument, match=r"event\.job_type: must not be empty: the job is not known yet"):
        completed(event, None)
