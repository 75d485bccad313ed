"""REST for a gRPC service, out of its `google.api.http` annotations. Knows no service."""

from wakepoint.chassis.transcoder.answers import Refusal, answer, failure, refused
from wakepoint.chassis.transcoder.app import Transcoder
from wakepoint.chassis.transcoder.asking import Special
from wakepoint.chassis.transcoder.calls import CallFailed, Interceptors, Register
from wakepoint.chassis.transcoder.reading import read_json
from wakepoint.chassis.transcoder.renaming import renamed, renamed_faults
from wakepoint.chassis.transcoder.streams import Resumable
from wakepoint.chassis.transcoder.tree import by_proto_names

__all__ = [
    "CallFailed",
    "Interceptors",
    "Refusal",
    "Register",
    "Resumable",
    "Special",
    "Transcoder",
    "answer",
    "by_proto_names",
    "failure",
    "read_json",
    "refused",
    "renamed",
    "renamed_faults",
]
