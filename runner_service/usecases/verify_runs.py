"""Check a live database: every run against its log, batch by batch, each batch as of one moment."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta

from runner_service.domain.verification import Finding, FindingKind, examine
from runner_service.storage import audit
from wakepoint.chassis.database import Database

MAX_SHOWN_ENTRIES = 1000
"""Of the outbox, and of rows without runs."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What is checked. `experiment_id` None: all, and what belongs to no run. `patience`: how long what takes its time
    (telling trigger_service, ending the jobs of a finished run) may take.
    """

    experiment_id: str | None = None
    patience: timedelta = timedelta(minutes=5)
    batch: int = 200
    max_lines: int = 20_000


@dataclass(frozen=True, slots=True)
class Verified:
    """A batch: how many runs were checked with how many lines of log, and what was found."""

    runs: int
    lines: int
    findings: list[Finding] = field(default_factory=list)


async def verify_runs(database: Database, verification: Verification) -> AsyncGenerator[Verified, None]:
    """Read and compare, without locking anything: a batch sees no half of anybody's commit, so what it finds is wrong
    and not just under way. The last batch has what belongs to no run.
    """
    after: str | None = None
    while True:
        async with database.snapshot() as connection:
            batch = await audit.read_evidence(
                connection,
                after=after,
                experiment_id=verification.experiment_id,
                limit=verification.batch,
                max_lines=verification.max_lines,
                patience=verification.patience,
            )
        if not batch:
            break
        after = batch[-1].run.run_id
        lines = sum(len(evidence.lines) for evidence in batch)
        yield Verified(len(batch), lines, [finding for evidence in batch for finding in examine(evidence)])
    if verification.experiment_id is None:
        yield Verified(0, 0, await _about_the_rest(database, verification.patience))


async def _about_the_rest(database: Database, patience: timedelta) -> list[Finding]:
    async with database.snapshot() as connection:
        stuck = await audit.stuck_outbox(connection, patience, MAX_SHOWN_ENTRIES)
        strays = await audit.rows_without_runs(connection, MAX_SHOWN_ENTRIES)
    return [
        *(Finding(FindingKind.OUTBOX_STUCK, entry.run_id, _told(entry)) for entry in stuck),
        *(Finding(FindingKind.ROW_WITHOUT_RUN, run_id, f"{what}, is all there is of a run") for run_id, what in strays),
    ]


def _told(entry: audit.StuckEntry) -> str:
    how = "refused" if entry.refused else f"not delivered for {entry.age.total_seconds():.0f} s"
    return (
        f"{entry.kind} {entry.outbox_id} about {entry.subject} is {how} ({entry.attempts} attempts): {entry.last_error}"
    )
