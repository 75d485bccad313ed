"""Delivering one job event, for as long as it is worth trying."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from logging import getLogger
from typing import Final

import grpc

from wakepoint.chassis.errors import Aborted, ResourceExhausted, Unavailable, WakepointError
from wakepoint.client.channels import call_metadata, open_blocking_channel
from wakepoint.client.failures import DeadlineExceeded, ServiceFailure, error_of
from wakepoint.trigger.v1.trigger_pb2 import JobEvent
from wakepoint.trigger.v1.trigger_service_pb2 import ReportJobEventRequest, ReportJobEventResponse
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub

_log = getLogger("wakepoint.client")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
# What may be otherwise on another try. Everything else is an answer to what was said.
_PASSING: Final = (Unavailable, DeadlineExceeded, ResourceExhausted, Aborted, ServiceFailure)


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds to go on trying, and the time that this is measured and waited in."""

    seconds: float
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def send(address: str, event: JobEvent, timeout: float) -> ReportJobEventResponse:
    """Report once; `timeout` in seconds. Raises WakepointError.

    The channel lives for this one call: a training script forks workers, and gRPC's threads do not survive a fork.
    """
    with open_blocking_channel(address) as channel:
        try:
            return TriggerServiceStub(channel).ReportJobEvent(
                ReportJobEventRequest(event=event), timeout=timeout, metadata=call_metadata()
            )
        except grpc.RpcError as failure:
            raise error_of(failure) from failure


def deliver(attempt: Callable[[], ReportJobEventResponse], patience: Patience) -> ReportJobEventResponse:
    """Repeat the attempt, with growing pauses, until it succeeds. The failure of the one that is made when patience has
    run out is raised, as is at once any that no repeating changes.
    """
    start, pause = patience.monotonic(), _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except _PASSING as error:
            left = start + patience.seconds - patience.monotonic()
            if left <= 0:
                raise
            # Shaken, so that a thousand jobs that lost one service do not all come back at once.
            wait = min(left, max(pause * random.uniform(0.5, 1.0), _asked_for(error)))  # noqa: S311
            _log.warning("reporting the job will be tried again in %.0f s: %s", wait, error)
            patience.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _asked_for(error: WakepointError) -> float:
    return (error.retry_after if isinstance(error, ResourceExhausted) else timedelta(0)).total_seconds()
