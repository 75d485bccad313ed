"""What all requests have in common."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from wakepoint.chassis.errors import FieldViolation, InvalidArgument, Violations
from wakepoint.chassis.protojson import check_text

T = TypeVar("T")

MAX_BATCH = 1000
MAX_REASON_CHARACTERS = 2_000

_COUNTS = frozenset({"after_seq", "page_size"})


def faults_in(request: Message, *required: str) -> Violations:
    """Every `required` field that is empty, and every value that no field of its name may have."""
    found = Violations()
    for name in required:
        if not getattr(request, name):
            found.add(name, "must not be empty")
    for field, value in request.ListFields():
        if isinstance(value, str):
            check_text(value, field.name, found)
        if field.name in _COUNTS and value < 0:
            found.add(field.name, "must not be negative")
        if field.name == "reason" and len(value) > MAX_REASON_CHARACTERS:
            found.add(field.name, f"must have at most {MAX_REASON_CHARACTERS} characters")
    return found


def check(request: Message, *required: str) -> None:
    """InvalidArgument naming all of `faults_in`."""
    faults_in(request, *required).raise_if_any()


def check_batch(items: Sequence[object], field: str) -> None:
    """InvalidArgument for a batch that is too large."""
    if len(items) > MAX_BATCH:
        raise InvalidArgument.of(field, f"must have at most {MAX_BATCH} items, not {len(items)}")


def read_or(default: T, read: Callable[[], T], faults: list[FieldViolation]) -> T:
    """What `read` gives, or `default` and a note of why it cannot be read."""
    try:
        return read()
    except InvalidArgument as error:
        faults.extend(error.violations)
        return default
