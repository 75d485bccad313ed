"""`python -m runner_service verify`: look a live database through; it changes nothing and locks nothing."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TextIO

from runner_service.domain.verification import Finding
from runner_service.settings import Settings
from runner_service.usecases.verify_runs import Verification, verify_runs
from wakepoint.chassis.database import Database
from wakepoint.chassis.migrations import migrate

CLEAN, FAULTY, IMPOSSIBLE = 0, 1, 2
"""Exit statuses: nothing is wrong; something is; it could not be looked at (settings, database, command line)."""

_DESCRIPTION = """Compare every run in the database with its log, and report what differs. Reads only, in batches, each
as of one moment; a busy database may be checked at any time. Findings go to standard output, one a line, progress to
standard error; the last line of standard output is a summary. Exit status: 0 nothing is wrong, 1 something is, 2 it
could not be checked."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    verification = Verification(options.experiment, timedelta(seconds=options.patience))
    try:
        return asyncio.run(verify(Settings.load().dsn, verification, as_json=options.json, out=sys.stdout))
    except Exception as error:  # noqa: BLE001 -- status 1, with which Python ends, would mean that runs are damaged
        sys.stderr.write(f"verify: {type(error).__name__}: {error}\n")
        return IMPOSSIBLE


async def verify(dsn: str, verification: Verification, *, as_json: bool, out: TextIO) -> int:
    """Print what is found in the database; CLEAN or FAULTY."""
    await migrate(dsn, schema="runner", package="runner_service.storage.migrations", mode="check")
    database = await Database.open(dsn, application_name="wakepoint-verify", min_size=1, max_size=1)
    runs = lines = findings = 0
    try:
        async for batch in verify_runs(database, verification):
            runs, lines, findings = runs + batch.runs, lines + batch.lines, findings + len(batch.findings)
            out.writelines(_line(finding, as_json=as_json) for finding in batch.findings)
            sys.stderr.write(f"checked {runs} runs, {lines} lines of log; {findings} findings so far\n")
    finally:
        await database.close()
    summary = {"runs": runs, "lines": lines, "findings": findings}
    text = f"{runs} runs with {lines} lines of log checked: {findings or 'no'} findings"
    out.write(f"{json.dumps({'summary': summary}) if as_json else text}\n")
    return FAULTY if findings else CLEAN


def _line(finding: Finding, *, as_json: bool) -> str:
    if as_json:
        return f"{json.dumps({'kind': finding.kind, 'run_id': finding.run_id, 'message': finding.message})}\n"
    return f"{finding.kind} {finding.run_id or '-'} {' '.join(finding.message.split())}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wakepoint-runner verify", description=_DESCRIPTION)
    parser.add_argument("--experiment", metavar="ID", help="only the runs of this experiment")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="how long telling trigger_service, or ending a finished run's jobs, may take (300)",
    )
    return parser
