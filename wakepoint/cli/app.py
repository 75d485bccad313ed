"""The commands, each in a file of its own; here is only their list."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from wakepoint.cli.approving import approve, reject
from wakepoint.cli.demo import demo
from wakepoint.cli.up import up
from wakepoint.cli.verify import verify

app = typer.Typer(
    name="wakepoint",
    help="Durable waiting for workflows: run the services on this machine, and talk to them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they hold connection strings
)
app.command("up")(up)
app.command("demo")(demo)
app.command("approve")(approve)
app.command("reject")(reject)
app.command("verify")(verify)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wakepoint {importlib.metadata.version('wakepoint')}")
        raise typer.Exit


@app.callback()
def wakepoint(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Durable waiting for workflows: run the services on this machine, and talk to them."""
