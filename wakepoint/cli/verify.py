"""`wakepoint verify`: every run of a live database against its log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from wakepoint.chassis.embedded import EmbeddedError, EmbeddedPostgres, default_data_dir
from wakepoint.cli.service import ServiceFailed, python_path

_VARIABLE = "RUNNER_DATABASE_URL"
_IMPOSSIBLE = 2


def verify(
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="ID", help="Only the runs of this experiment.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The data directory of `wakepoint up`.", file_okay=False),
    ] = None,
) -> None:
    """Compare every run in the runner's database with its log. Reads only; the services may be at work.

    The database is that of RUNNER_DATABASE_URL, or of a running `wakepoint up`. The last line is a summary. Exit
    status: 0 nothing is wrong, 1 something is, 2 it could not be checked.
    """
    arguments = [*(["--experiment", experiment] if experiment is not None else []), *(["--json"] if json else [])]
    try:
        environment = {
            **os.environ,
            _VARIABLE: _database(data),
            "PYTHONPATH": python_path("runner_service", os.environ.get("PYTHONPATH", "")),
        }
    except (EmbeddedError, ServiceFailed) as error:
        typer.echo(f"wakepoint verify: {error}; {_VARIABLE} is not set either", err=True)
        raise typer.Exit(_IMPOSSIBLE) from None
    # A process of its own: a client of the services does not import one.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner_service", "verify", *arguments], env=environment, check=False
    )
    raise typer.Exit(done.returncode)


def _database(data: Path | None) -> str:
    told = os.environ.get(_VARIABLE, "")
    if told and data is None:
        return told
    return EmbeddedPostgres((data or default_data_dir()) / "postgres").last_dsn("runner")
