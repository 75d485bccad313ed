"""Which of the runs to be started may start now: the starts of one concurrency key are decided one after the other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner_service.domain.overlap import Admission, OnConflict, admit
from runner_service.storage import overlap, runs
from runner_service.storage.overlap import Key
from wakepoint.chassis.database import Connection


@dataclass(frozen=True, slots=True)
class Applicant:
    """A run that is to be created, and what it does about others with its key."""

    run_id: str
    key: Key
    on_conflict: OnConflict


@dataclass(frozen=True, slots=True)
class Admitted:
    """What becomes of an applicant, and its turn among those of its key."""

    admission: Admission
    turn: int


async def admit_runs(connection: Connection, applicants: Sequence[Applicant]) -> dict[str, Admitted]:
    """Decide in order, under locks that hold until the transaction ends, and before any run is locked; by run id."""
    if not applicants:
        return {}
    turns = await overlap.lock_keys(connection, Counter(applicant.key for applicant in applicants))
    unfinished = await overlap.unfinished_of_keys(connection, sorted(turns))
    live = {key: list(unfinished.get(key, ())) for key in turns}
    admitted: dict[str, Admitted] = {}
    for applicant in applicants:
        admission = admit(applicant.on_conflict, live[applicant.key])
        admitted[applicant.run_id] = Admitted(admission, turns[applicant.key])
        turns[applicant.key] += 1
        if admission.cancels:
            live[applicant.key].clear()
        if not admission.skipped:
            live[applicant.key].append(applicant.run_id)
    return admitted


async def cancel_previous(connection: Connection, admitted: Mapping[str, Admitted]) -> list[str]:
    """Cancel whom the admitted runs, which are created by now, have displaced; the ids of those that are cancelled."""
    displaced = {run_id: by for by, one in admitted.items() for run_id in one.admission.cancels}
    if not displaced:
        return []
    await runs.lock_runs(connection, sorted(displaced))
    told = "run {} with the same concurrency key was started"
    return [run_id for run_id, by in displaced.items() if await runs.cancel_run(connection, run_id, told.format(by))]
