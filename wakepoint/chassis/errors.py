"""The one error taxonomy. Every layer raises these; only `wakepoint.chassis.status` knows how they look on a wire.

`reason` is an UPPER_SNAKE_CASE constant for programs, `message` a sentence for people, `metadata` the values in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

import pydantic


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One faulty field: `field` is a path such as `graph.nodes[2].type`, `description` says what is wrong with it."""

    field: str
    description: str


class WakepointError(Exception):
    """The base of every error that may be told to a caller. Metadata values are turned into text."""

    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, reason: str = "", **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class InvalidArgument(WakepointError):
    """The request is wrong whatever the state is. `violations` names every faulty field."""

    default_reason = "INVALID_ARGUMENT"

    def __init__(
        self, message: str, *, violations: Iterable[FieldViolation] = (), reason: str = "", **metadata: object
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.violations = tuple(violations)

    @classmethod
    def of(cls, field: str, description: str, *, reason: str = "", **metadata: object) -> Self:
        """One faulty field; the message is `field: description`."""
        violation = FieldViolation(field, description)
        return cls(_sentence([violation]), violations=[violation], reason=reason, **metadata)

    @classmethod
    def from_violations(cls, violations: Iterable[FieldViolation], *, reason: str = "") -> Self:
        """Several faulty fields; the message lists them all."""
        found = tuple(violations)
        return cls(_sentence(found), violations=found, reason=reason)


class NotFound(WakepointError):
    """The thing does not exist, or the caller must not know that it does."""

    default_reason = "NOT_FOUND"


class AlreadyExists(WakepointError):
    """The same key was used before for something else."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(WakepointError):
    """The request is right but the state does not allow it; repeating it does not help."""

    default_reason = "FAILED_PRECONDITION"


class Aborted(WakepointError):
    """Somebody else was faster (a stale etag, a lost lease): read again, then decide again."""

    default_reason = "ABORTED"


class TransactionConflict(Aborted):
    """The database gave this transaction up for another's sake; the very same transaction may succeed when repeated."""

    default_reason = "TRANSACTION_CONFLICT"


class ResourceExhausted(WakepointError):
    """A limit or overload; try again after `retry_after`."""

    default_reason = "RESOURCE_EXHAUSTED"

    def __init__(
        self, message: str, *, retry_after: timedelta = timedelta(seconds=1), reason: str = "", **metadata: object
    ) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after = retry_after


class Unauthenticated(WakepointError):
    """Nobody knows who is calling."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(WakepointError):
    """The caller is known and may not do this."""

    default_reason = "PERMISSION_DENIED"


class Unavailable(WakepointError):
    """The database or a peer is away; nothing was done, and the same request may be sent again."""

    default_reason = "UNAVAILABLE"


class CommitUnknown(Unavailable):
    """The connection was lost during COMMIT: the transaction may or may not have happened. Read before repeating."""

    default_reason = "COMMIT_UNKNOWN"


class Unimplemented(WakepointError):
    """This RPC does not do anything yet."""

    default_reason = "UNIMPLEMENTED"


class Violations:
    """Collects faulty fields, so that a caller is told all of them at once."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """Note one faulty field."""
        self._found.append(FieldViolation(field, description))

    def extend(self, violations: Iterable[FieldViolation]) -> None:
        """Note several, for instance another collector's or `from_validation_error`'s."""
        self._found.extend(violations)

    def raise_if_any(self, *, reason: str = "") -> None:
        """Raise InvalidArgument naming everything noted; nothing noted, nothing happens."""
        if self._found:
            raise InvalidArgument.from_violations(self._found, reason=reason)

    def __iter__(self) -> Iterator[FieldViolation]:
        return iter(tuple(self._found))

    def __len__(self) -> int:
        return len(self._found)


def from_validation_error(error: pydantic.ValidationError, prefix: str = "") -> list[FieldViolation]:
    """Pydantic's findings as field violations, each path below `prefix`; the faulty input itself is not repeated."""
    return [
        FieldViolation(_path(prefix, item["loc"]) or prefix, item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _path(prefix: str, location: tuple[int | str, ...]) -> str:
    path = prefix
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def _sentence(violations: Iterable[FieldViolation]) -> str:
    return "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
