"""`wakepoint-trigger import-legacy PATH`: what it is told, what it says and how it ends."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trigger_service.domain.blueprints import Blueprints
from trigger_service.settings import Settings
from trigger_service.storage import legacy_source
from trigger_service.usecases.conditions import Conditions
from trigger_service.usecases.environment import Environment, GraphReport
from trigger_service.usecases.follow_legacy import Follower
from trigger_service.usecases.import_legacy import Fate, Line, import_legacy
from trigger_service.usecases.offer_blueprints import offer_blueprints
from wakepoint.chassis.clock import Clock, SystemClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import InvalidArgument, Unavailable
from wakepoint.chassis.tasks import Poke

ALL_TAKEN, USAGE, NOT_ALL_TAKEN, DIFFERENT = 0, 2, 3, 4
EPILOG = """The database is only read. Importing again takes over what changed there since, and leaves alone what was
changed here. Ends with 0: everything was taken; 3: some of it could not be; 4 (--follow): the two systems differed;
2: wrong usage; 1: a setting, this database or that one is at fault."""

Say = Callable[[str], None]


def parser() -> argparse.ArgumentParser:
    """The command line behind `import-legacy`."""
    found = argparse.ArgumentParser(
        prog="wakepoint-trigger import-legacy",
        description="Takes over workflows and triggers out of a Transformer Lab database (SQLite).",
        epilog=EPILOG,
    )
    found.add_argument("path", type=Path, metavar="PATH")
    found.add_argument("--source", default="transformerlab", help="tells several old systems apart")
    found.add_argument(
        "--follow", action="store_true", help="go on, match its jobs and compare; needs TRIGGER_MODE=shadow"
    )
    found.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="how often --follow looks")
    found.add_argument(
        "--patience", type=float, default=30.0, metavar="SECONDS", help="how far the two may be apart in time"
    )
    return found


async def run(settings: Settings, blueprints: Blueprints, options: argparse.Namespace, say: Say) -> int:
    """Do it; the exit status. FailedPrecondition: the source cannot be read. Unavailable: the database is away."""
    if options.follow and settings.mode != "shadow":
        say("--follow carries nothing out: set TRIGGER_MODE=shadow")
        return USAGE
    database = await Database.open(settings.dsn, application_name="wakepoint-import", max_size=settings.pool_size)
    try:
        await offer_blueprints(database, blueprints)
        if not options.follow:
            snapshot = legacy_source.read(options.path)
            for table in snapshot.missing:
                say(f"{table}: there is no such table")
            return report(await import_legacy(database, blueprints, options.source, snapshot), say)
        clock = SystemClock()
        env = Environment(
            database, blueprints, Conditions(), _NoRunner(), lambda: None, settings.max_depth, is_shadow=True
        )
        follower = Follower(env, options.source, options.path, clock, options.patience)
        return await follow(follower, options.every, _told_to_stop(clock), clock, say)
    finally:
        await database.close()


def report(lines: Sequence[Line], say: Say, *, only_news: bool = False) -> int:
    """Say what became of each row; the exit status."""
    for line in lines:
        if only_news and line.fate in {Fate.UNCHANGED, Fate.SKIPPED, Fate.UNDERSTOOD, Fate.VANISHED, Fate.REFUSED}:
            continue
        told = f"{line.table} {line.row_key}: {line.fate.value}"
        told += f": {line.text}" if line.text else ""
        say(told + (f" as {line.workflow_id}" if line.workflow_id else ""))
        for problem in line.problems:
            say(f"  lost: {problem}")
        for remark in line.remarks:
            say(f"  note: {remark}")
    whole = sum(line.is_whole for line in lines)
    if not only_news:
        say(f"{len(lines)} rows, {whole} of them without loss")
    return ALL_TAKEN if whole == len(lines) else NOT_ALL_TAKEN


async def follow(follower: Follower, every: float, stop: Poke, clock: Clock, say: Say) -> int:
    """Look until told to stop; the exit status."""
    status, is_first = ALL_TAKEN, True
    while True:
        try:
            lines, differences, problems = await follower.round()
        except Unavailable as error:
            say(f"waiting: {error.message}")
            lines, differences, problems = (), (), ()
        if lines:
            status = max(status, report(lines, say, only_news=not is_first))
            is_first = False
        for problem in problems:
            say(f"not matched: {problem}")
        _tell(differences, say)
        if await stop.wait(every):
            break
    comparison = follower.comparison
    _tell(comparison.overdue(clock.monotonic(), all_of_them=True), say)
    say(f"queued by both: {comparison.agreed}; by one of the two: {comparison.differences}")
    return DIFFERENT if comparison.differences else status


def _tell(differences: Sequence[Any], say: Say) -> None:
    for item in differences:
        if item.is_ours:
            say(f"difference: job {item.what} would have started workflow {item.workflow_key} here; it did not there")
        else:
            say(f"difference: workflow {item.workflow_key} was queued there (run {item.what}); here it would not")


def _told_to_stop(clock: Clock) -> Poke:
    stop = Poke(clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.poke)
    return stop


class _NoRunner:
    """Nobody is asked about graphs here: those of imported workflows are all the same one."""

    async def check_graph(self, _graph: dict[str, Any], _experiment_id: str) -> GraphReport:
        raise InvalidArgument.of("graph", "cannot be checked while importing")
