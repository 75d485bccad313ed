"""`wakepoint up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from wakepoint.chassis.embedded import EmbeddedError
from wakepoint.cli.ports import DEFAULTS, FACES
from wakepoint.cli.service import ServiceFailed
from wakepoint.cli.stack import Stack

_TEND_SECONDS = 0.5


def up(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where data and logs are kept.", file_okay=False)
    ] = None,
    nodes: Annotated[
        Path | None,
        typer.Option(
            "--nodes", metavar="FILE", help="Python file with node types of your own.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Run Postgres and both services on this machine until Ctrl-C.

    A port that is taken means the next free one. With TRIGGER_DATABASE_URL and RUNNER_DATABASE_URL set, those
    databases are used.
    """
    told_to_stop = _signals()
    try:
        stack = Stack(data, nodes=nodes, report=typer.echo)
        typer.echo(f"Starting; data and logs are in {stack.data_dir}")
        with stack:
            typer.echo(summary(stack))
            while not told_to_stop.wait(_TEND_SECONDS):
                stack.tend()
            typer.echo("Stopping ...")
    except (EmbeddedError, ServiceFailed, OSError) as error:
        typer.echo(f"wakepoint up: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("Stopped.")


def summary(stack: Stack) -> str:
    """The addresses that a running stack really took, for a person."""
    lines = ["Ready:"]
    for service, addresses in sorted(stack.addresses.items(), reverse=True):
        lines.append(f"  {service}_service")
        for face in FACES:
            address = getattr(addresses, face)
            default = DEFAULTS[service][face]
            moved = "" if address.endswith(f":{default}") else f"   (not the default {default})"
            lines.append(f"    {face:<11}{'' if face == 'grpc' else 'http://'}{address}{moved}")
    for service, addresses in sorted(stack.addresses.items(), reverse=True):
        if not addresses.grpc.endswith(f":{DEFAULTS[service]['grpc']}"):
            lines.append(f"  for clients: export WAKEPOINT_{service.upper()}_ADDRESS={addresses.grpc}")
    if stack.postgres is not None:
        dsn = stack.postgres.database_dsn("runner")
        shown = dsn.split("@", 1)[1]
        lines.append(f"  Postgres     {shown} (user wakepoint, password in {stack.postgres.data_dir / 'password'})")
    lines.append("Ctrl-C stops everything.")
    return "\n".join(lines)


def _signals() -> threading.Event:
    """An event that the first SIGINT, SIGTERM or SIGHUP sets; the second ends this process at once.

    Its children end even then: each is guarded by a process that notices.
    """
    told = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)
    return told
