"""The command: starts the stack, has the story told, and leaves everything to the reader."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wakepoint.chassis.embedded import EmbeddedError
from wakepoint.chassis.errors import WakepointError
from wakepoint.chassis.ids import new_id
from wakepoint.cli.demo.example import missing_packages
from wakepoint.cli.demo.scene import Scene
from wakepoint.cli.demo.story import Story
from wakepoint.cli.demo.telling import PromiseBroken, Teller
from wakepoint.cli.demo.what_next import tell_what_next
from wakepoint.cli.service import ServiceFailed
from wakepoint.cli.stack import Stack
from wakepoint.client import Client

_TEND_SECONDS = 0.5
_INTERRUPTED = 130


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Where data and logs are kept.", file_okay=False)
    ] = None,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Let the system choose all ports.")] = False,
) -> None:
    """Train, evaluate, wait, survive a kill, approve, export: the whole idea on real data, on this machine.

    Then everything stays up until Ctrl-C; WAKEPOINT_KEEP=0 ends it. With WAKEPOINT_INTERACTIVE=1 you kill and approve.
    """
    teller = Teller(Console(highlight=False))
    if missing := missing_packages():
        teller.trouble(f"wakepoint demo trains a model, and {', '.join(missing)} is missing.")
        teller.trouble("pip install 'wakepoint[embedded,examples]'")
        raise typer.Exit(1)
    stack = Stack(data, any_ports=any_ports, report=teller.say)
    try:
        _tell(stack, teller)
    except (PromiseBroken, EmbeddedError, ServiceFailed, WakepointError, OSError) as error:
        teller.trouble(f"wakepoint demo: {error}")
        teller.trouble(f"Logs: {', '.join(str(path) for path in sorted(stack.data_dir.glob('*.log')))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _tell(stack: Stack, teller: Teller) -> None:
    # Ended from outside, it stops its stack as it does on Ctrl-C, which shells have background jobs ignore.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    teller.chapter("Postgres and both services start")
    teller.fact("data", stack.data_dir)
    with stack:
        for service, addresses in sorted(stack.addresses.items(), reverse=True):
            teller.fact(service, f"gRPC {addresses.grpc}", f"http://{addresses.http}  pid {stack.pid(service)}")
        asyncio.run(_tell_story(stack, teller))
        if os.environ.get("WAKEPOINT_KEEP") != "0":
            _keep(stack, teller)
    teller.chapter("Everything is stopped")


async def _tell_story(stack: Stack, teller: Teller) -> None:
    triggers, runner = stack.addresses["trigger"].grpc, stack.addresses["runner"].grpc
    # An experiment of its own: what earlier stories left in the same data does not fire.
    experiment_id = f"digits-{new_id()[-6:]}"
    async with Client(trigger_address=triggers, runner_address=runner) as client:
        scene = Scene(stack, client, experiment_id)
        story = Story(scene, teller)
        await story.tell()
        await tell_what_next(scene, story, teller)


def _keep(stack: Stack, teller: Teller) -> None:
    teller.say("")
    teller.say(f"Everything stays up until Ctrl-C; the data stays in {stack.data_dir}.")
    told = threading.Event()
    try:
        while not told.wait(_TEND_SECONDS):
            stack.tend()
    except KeyboardInterrupt:
        return
