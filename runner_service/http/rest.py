"""REST: the service's RPCs over plain HTTP, by their annotations."""

from wakepoint.chassis.transcoder import Interceptors, Register, Resumable, Special, Transcoder
from wakepoint.runner.v1.runner_service_pb2 import DESCRIPTOR


def make_rest(register: Register, interceptors: Interceptors, max_body_bytes: int) -> Transcoder:
    """The transcoder; `register` adds the servicer's methods to a server."""
    return Transcoder(
        DESCRIPTOR.services_by_name["RunnerService"],
        register,
        interceptors,
        max_body_bytes=max_body_bytes,
        special={"WatchRun": Special(resumable=Resumable(event_id="seq", resume="after_seq"))},
    )
