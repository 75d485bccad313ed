"""What becomes of a new run while others with its concurrency key are unfinished."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class OnConflict(StrEnum):
    """What a new run does about them."""

    ALLOW = "ALLOW"
    QUEUE = "QUEUE"
    SKIP = "SKIP"
    CANCEL_PREVIOUS = "CANCEL_PREVIOUS"


@dataclass(frozen=True, slots=True)
class Admission:
    """`behind`: it waits for its turn; `skipped`: it is not created; `cancels`: the runs that end for it."""

    behind: bool = False
    skipped: bool = False
    cancels: tuple[str, ...] = ()


def admit(on_conflict: OnConflict, unfinished: Sequence[str]) -> Admission:
    """What becomes of a run, given the ids of the unfinished ones before it."""
    match on_conflict:
        case OnConflict.ALLOW:
            return Admission()
        case OnConflict.QUEUE:
            return Admission(behind=bool(unfinished))
        case OnConflict.SKIP:
            return Admission(skipped=bool(unfinished))
        case OnConflict.CANCEL_PREVIOUS:
            return Admission(cancels=tuple(unfinished))
        case other:
            assert_never(other)
