"""Reporting a job from the script that does it."""

from __future__ import annotations

from logging import getLogger
from types import TracebackType
from typing import Any, Final, Self

from wakepoint.chassis.clock import SystemClock
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.chassis.protojson import datetime_to_timestamp, python_to_struct
from wakepoint.client.channels import trigger_address
from wakepoint.client.delivery import Patience, deliver, send
from wakepoint.client.json_ready import json_object
from wakepoint.client.surroundings import Surroundings
from wakepoint.trigger.v1.trigger_pb2 import JobEvent
from wakepoint.trigger.v1.trigger_service_pb2 import ReportJobEventResponse

_log = getLogger("wakepoint.client")

_SOURCE: Final = "wakepoint.client"
_START_TIMEOUT: Final = 5.0
_TIMEOUT: Final = 30.0
_INTERRUPTED_PATIENCE: Final = 5.0
_LONGEST_ERROR: Final = 2_000


def report_job(
    job_type: str,
    *,
    name: str = "",
    experiment_id: str | None = None,
    job_id: str | None = None,
    attempt: int = 1,
    trigger_address: str | None = None,
    patience: float = 900.0,
    raise_if_unreported: bool = False,
) -> Job:
    """Report what the `with` block does as a job, so that workflows can wait for it::

        with report_job("TRAIN", name="digits", experiment_id="e1") as job:
            job.attributes["accuracy"] = train()

    RUNNING is reported at the start, COMPLETE with the attributes at the end; FAILED when an exception leaves the
    block, STOPPED for KeyboardInterrupt and a non-zero SystemExit, and each goes on its way. A service that is away at
    the start is logged and no more; the end is reported for up to `patience` seconds, and then logged, or raised if
    `raise_if_unreported` (unless another exception is on its way).

    In a RunJob's process, which is where WAKEPOINT_JOB_ID is set, the runner itself reports the job as it sees it, so
    that this does not: the attributes become the node's output, and with it those of the job. Giving a `job_id` of
    one's own makes it a job beside the runner's, reported here with the run as its cause.

    ValueError, before anything has been computed: no job type, or no experiment in the arguments or in
    WAKEPOINT_EXPERIMENT_ID.
    """
    surroundings = Surroundings.of()
    experiment = experiment_id or surroundings.experiment_id
    if not job_type or not experiment:
        raise ValueError("report_job needs a job type and an experiment_id (or WAKEPOINT_EXPERIMENT_ID)")
    event = JobEvent(
        source=_SOURCE,
        experiment_id=experiment,
        job_id=job_id or surroundings.job_id or new_id(),
        attempt=attempt,
        job_type=job_type,
        job_name=name,
        trace_parent=surroundings.trace_parent,
    )
    return Job(event, surroundings, trigger_address, Patience(patience), raise_if_unreported=raise_if_unreported)


class Job:
    """A job that is being done. Put into `attributes` what workflows should know about it, such as its result's URI."""

    def __init__(
        self,
        event: JobEvent,
        surroundings: Surroundings,
        address: str | None,
        patience: Patience,
        *,
        raise_if_unreported: bool,
    ) -> None:
        self.attributes: dict[str, Any] = {}
        self.answer: ReportJobEventResponse | None = None
        """What the service said to the last report: the event's id, and the firings that it caused."""
        self._event = event
        self._surroundings = surroundings
        self._address = trigger_address(address)
        self._patience = patience
        self._raise = raise_if_unreported
        self._reported_by_runner = event.job_id == surroundings.job_id
        if not self._reported_by_runner:
            event.MergeFrom(JobEvent(causation=surroundings.causation()))

    @property
    def job_id(self) -> str:
        """The job's id, given or made."""
        return self._event.job_id

    @property
    def experiment_id(self) -> str:
        """The job's experiment."""
        return self._event.experiment_id

    def __enter__(self) -> Self:
        if not self._reported_by_runner:
            try:
                self.answer = send(self._address, self._as("RUNNING"), _START_TIMEOUT)
            except WakepointError as error:
                _log.warning("the start of job %s was not reported: %s", self.job_id, error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = _status_after(error)
        if self._reported_by_runner:
            if status == "COMPLETE":
                self._surroundings.add_to_output(self.attributes)
            return
        if error is not None and status != "COMPLETE":
            self.attributes.setdefault("error", f"{type(error).__name__}: {error}"[:_LONGEST_ERROR])
        try:
            self._report_end(status)
        except WakepointError as unreported:
            _log.error("job %s is %s, which was not reported: %s", self.job_id, status, unreported)
            if self._raise and error is None:
                raise

    def _report_end(self, status: str) -> None:
        event = self._as(status)
        # Whoever stops a script does not want to wait for it much longer.
        seconds = min(self._patience.seconds, _INTERRUPTED_PATIENCE) if status == "STOPPED" else self._patience.seconds
        patience = Patience(seconds, self._patience.monotonic, self._patience.sleep)
        timeout = min(_TIMEOUT, max(seconds, _START_TIMEOUT))
        self.answer = deliver(lambda: send(self._address, event, timeout), patience)

    def _as(self, status: str) -> JobEvent:
        event = JobEvent()
        event.CopyFrom(self._event)
        event.event_id = new_id()
        event.status = status
        event.occur_time.CopyFrom(datetime_to_timestamp(SystemClock().now()))
        event.attributes.CopyFrom(python_to_struct(json_object(self.attributes), "attributes"))
        return event


def _status_after(error: BaseException | None) -> str:
    match error:
        case None:
            return "COMPLETE"
        case SystemExit(code=None | 0):
            return "COMPLETE"
        case KeyboardInterrupt() | SystemExit():
            return "STOPPED"
        case _:
            return "FAILED"
