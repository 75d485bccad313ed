from datetime import timedelta
from uuid import UUID

import pytest

from trigger_service.domain.dispatch import Away, Change, Failed, Lease, Outcome, Refused, Started, change_of
from trigger_service.domain.firings import FiringState

FIRING = UUID(int=1)


def lease(attempts: int = 0, refusals: int = 0) -> Lease:
    return Lease(FIRING, UUID(int=2), "e", "ev", "TRAIN", "00", {}, 0, attempts, refusals)


def change(the_lease: Lease, outcome: Outcome) -> Change:
    return change_of(the_lease, outcome, give_up_after=5, delay_of=lambda attempts: timedelta(seconds=attempts))


@pytest.mark.parametrize(
    ("the_lease", "outcome", "expected"),
    [
        (lease(), Started("r1"), Change(FIRING, FiringState.DISPATCHED, run_id="r1")),
        (
            lease(attempts=2, refusals=2),
            Refused("no"),
            Change(FIRING, FiringState.RETRYING, error="no", refused=1, delay=timedelta(seconds=3)),
        ),
        (lease(attempts=9, refusals=4), Refused("no"), Change(FIRING, FiringState.DEAD, error="no", refused=1)),
        (
            lease(attempts=99, refusals=4),
            Failed("odd"),
            Change(FIRING, FiringState.RETRYING, error="odd", delay=timedelta(seconds=100)),
        ),
        (lease(refusals=4), Away(), Change(FIRING, FiringState.QUEUED, tried=0)),
    ],
)
def test_only_refusals_of_its_own_bring_a_firing_nearer_to_dead(
    the_lease: Lease, outcome: Outcome, expected: Change
) -> None:
    assert change(the_lease, outcome) == expected
