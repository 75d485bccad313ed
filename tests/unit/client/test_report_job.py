"""What a training script's `with report_job(...)` says, and what it never does to the script."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.client.fakes import Reports
from wakepoint.chassis.errors import InvalidArgument, Unavailable, WakepointError
from wakepoint.chassis.protojson import struct_to_python
from wakepoint.client import report_job
from wakepoint.client.delivery import Patience
from wakepoint.client.jobs import Job
from wakepoint.client.surroundings import Surroundings
from wakepoint.trigger.v1.trigger_pb2 import JobEvent


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, seconds: float) -> Patience:
        return Patience(seconds, self.monotonic, self.sleep)


def job(reports: Reports, patience: Patience, *, raise_if_unreported: bool = False) -> Job:
    event = JobEvent(experiment_id="e", job_id="j", attempt=1, job_type="TRAIN")
    return Job(event, Surroundings(), reports.address, patience, raise_if_unreported=raise_if_unreported)


def statuses(reports: Reports) -> list[str]:
    return [event.status for event in reports.received]


def test_a_block_that_ends_is_reported_running_and_then_complete_with_its_attributes(reports: Reports) -> None:
    with report_job("TRAIN", name="digits", experiment_id="e1") as reported:
        assert statuses(reports) == ["RUNNING"]
        reported.attributes["accuracy"] = 0.97
    assert statuses(reports) == ["RUNNING", "COMPLETE"]
    running, complete = reports.received
    assert (running.job_id, running.experiment_id, running.job_name) == (reported.job_id, "e1", "digits")
    assert complete.job_id == running.job_id
    assert complete.event_id != running.event_id
    assert complete.attributes["accuracy"] == 0.97
    assert reported.answer is not None
    assert reported.answer.event_id == complete.event_id


def test_an_exception_is_reported_as_failed_and_goes_its_way(reports: Reports) -> None:
    with pytest.raises(ZeroDivisionError), report_job("TRAIN", experiment_id="e1"):
        _ = 1 / 0
    assert statuses(reports) == ["RUNNING", "FAILED"]
    assert reports.received[-1].attributes["error"] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (KeyboardInterrupt(), "STOPPED"),
        (SystemExit(3), "STOPPED"),
        (SystemExit("no data"), "STOPPED"),
        (SystemExit(0), "COMPLETE"),
        (SystemExit(None), "COMPLETE"),
    ],
)
def test_how_a_script_is_left_says_its_status(reports: Reports, ending: BaseException, status: str) -> None:
    with pytest.raises(type(ending)), report_job("TRAIN", experiment_id="e1"):
        raise ending
    assert statuses(reports) == ["RUNNING", status]


def test_a_service_that_is_away_at_the_start_does_not_stop_the_training(reports: Reports) -> None:
    reports.failures = [InvalidArgument.of("event", "refused")]
    with report_job("TRAIN", experiment_id="e1"):
        assert statuses(reports) == []
    assert statuses(reports) == ["COMPLETE"]


def test_the_end_is_reported_again_and_again_with_the_same_event_id(reports: Reports) -> None:
    time = FakeTime()
    with job(reports, time.patience(600)) as reported:
        # Each is the end of five attempts that gRPC makes by itself.
        reports.failures = [WakepointError("unforeseen") for _ in range(3)]
        reported.attributes["loss"] = 1
    assert statuses(reports) == ["RUNNING", "COMPLETE"]
    assert len(time.pauses) == 3
    assert time.pauses[-1] > time.pauses[0]


def test_reporting_gives_up_when_patience_runs_out_and_raises_only_if_asked(reports: Reports) -> None:
    def fail_forever() -> None:
        reports.failures = [WakepointError("unforeseen") for _ in range(1000)]

    time = FakeTime()
    with job(reports, time.patience(100)):
        fail_forever()
    assert time.now == pytest.approx(100)
    with pytest.raises(WakepointError), job(reports, time.patience(100), raise_if_unreported=True):
        fail_forever()


def test_a_report_that_failed_does_not_take_the_place_of_the_exception_of_the_script(reports: Reports) -> None:
    reported = job(reports, FakeTime().patience(0), raise_if_unreported=True)
    reported.__enter__()
    reports.failures = [WakepointError("unforeseen")]
    error = ZeroDivisionError()
    reported.__exit__(type(error), error, None)
    assert statuses(reports) == ["RUNNING"]


def test_an_answer_that_will_not_change_is_not_asked_for_again(reports: Reports) -> None:
    time = FakeTime()
    with pytest.raises(InvalidArgument) as caught, job(reports, time.patience(600), raise_if_unreported=True):
        reports.failures = [InvalidArgument.of("event.job_type", "is unknown")]
    assert caught.value.violations[0].field == "event.job_type"
    assert time.pauses == []


def test_grpc_itself_repeats_a_call_that_met_no_service(reports: Reports) -> None:
    time = FakeTime()
    with job(reports, time.patience(600)):
        reports.failures = [Unavailable("away")]
    assert statuses(reports) == ["RUNNING", "COMPLETE"]
    assert time.pauses == []


def test_whatever_a_script_puts_into_the_attributes_is_reported(reports: Reports) -> None:
    with report_job("TRAIN", experiment_id="e1") as reported:
        reported.attributes.update(
            score=np.float32(0.5),
            confusion=np.eye(2, dtype=int),
            loss=float("nan"),
            path=Path("/tmp/model.joblib"),
            text="a\x00b\ud800",
            classes={3},
        )
        reported.attributes["itself"] = reported.attributes
    told = struct_to_python(reports.received[-1].attributes)
    assert isinstance(told.pop("itself"), dict)
    assert told == {
        "score": 0.5,
        "confusion": [[1, 0], [0, 1]],
        "loss": "nan",
        "path": "/tmp/model.joblib",
        "text": "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}",
        "classes": [3],
    }


def test_without_an_experiment_nothing_starts(reports: Reports) -> None:
    with pytest.raises(ValueError, match="experiment_id"):
        report_job("TRAIN")


@pytest.fixture
def run_job(reports: Reports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], object]:
    """The variables of a RunJob; answers what its process left as output."""
    (tmp_path / "input.json").write_text(json.dumps({"run": {"depth": 2}}))
    for name, value in {"RUN_ID": "run-1", "JOB_ID": "job-1", "EXPERIMENT_ID": "e1"}.items():
        monkeypatch.setenv(f"WAKEPOINT_{name}", value)
    monkeypatch.setenv("WAKEPOINT_INPUT", str(tmp_path / "input.json"))
    monkeypatch.setenv("WAKEPOINT_OUTPUT", str(tmp_path / "output.json"))
    monkeypatch.setenv("TRACEPARENT", "00-11111111111111111111111111111111-2222222222222222-01")
    output = tmp_path / "output.json"
    return lambda: json.loads(output.read_text()) if output.exists() else None


def test_inside_a_run_job_nothing_is_reported_and_the_attributes_become_the_output(
    reports: Reports, run_job: Callable[[], object], tmp_path: Path
) -> None:
    (tmp_path / "output.json").write_text('{"kept": 1}')
    with report_job("TRAIN") as reported:
        reported.attributes["accuracy"] = np.float64(0.97)
    assert reported.job_id == "job-1"
    assert reports.received == []
    assert run_job() == {"kept": 1, "accuracy": 0.97}


def test_inside_a_run_job_a_failure_is_left_to_the_exit_code(reports: Reports, run_job: Callable[[], object]) -> None:
    with pytest.raises(ZeroDivisionError), report_job("TRAIN") as reported:
        reported.attributes["accuracy"] = 1 / 0
    assert reports.received == []
    assert run_job() is None


def test_a_job_of_its_own_id_inside_a_run_job_is_reported_with_the_run_as_its_cause(
    reports: Reports, run_job: Callable[[], object]
) -> None:
    with report_job("TRAIN", job_id="mine"):
        pass
    assert statuses(reports) == ["RUNNING", "COMPLETE"]
    event = reports.received[-1]
    assert (event.job_id, event.experiment_id) == ("mine", "e1")
    assert (event.causation.run_id, event.causation.depth) == ("run-1", 3)
    assert event.trace_parent == reports.metadata["traceparent"] == "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    assert run_job() is None


def test_a_script_that_forks_between_the_reports_still_ends(reports: Reports) -> None:
    script = """
import os
from wakepoint.chassis.protojson import struct_to_python
from wakepoint.client import report_job
with report_job("TRAIN", experiment_id="e1") as job:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    job.attributes["forked"] = True
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert statuses(reports) == ["RUNNING", "COMPLETE"]
