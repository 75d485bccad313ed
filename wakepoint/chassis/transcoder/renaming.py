"""Telling a caller of faults by the names that the caller used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from wakepoint.chassis.errors import FieldViolation


def renamed(status: Status, names: Mapping[str, str]) -> Status:
    """The status with its faulty fields renamed: those that are one of `names`, or lie below one; the first counts."""
    copy = Status(code=status.code, message=status.message)
    for detail in status.details:
        bad = BadRequest()
        if detail.Is(BadRequest.DESCRIPTOR) and detail.Unpack(bad):
            for violation in bad.field_violations:
                violation.field = _renamed(violation.field, names)
            copy.message = "; ".join(f"{item.field}: {item.description}" for item in bad.field_violations)
            copy.details.add().Pack(bad)
        else:
            copy.details.append(detail)
    return copy


def renamed_faults(faults: Iterable[FieldViolation], names: Mapping[str, str]) -> Iterable[FieldViolation]:
    """As `renamed`."""
    return [FieldViolation(_renamed(fault.field, names), fault.description) for fault in faults]


def _renamed(field: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        if field == old or field.startswith((f"{old}.", f"{old}[")):
            return new + field[len(old) :]
    return field
