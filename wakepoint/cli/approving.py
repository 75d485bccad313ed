"""`wakepoint approve` and `wakepoint reject`: answer an approval that a run waits for."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated

import typer

from wakepoint.client import Client, WakepointError
from wakepoint.runner.v1.runner_pb2 import SuspendedNode
from wakepoint.runner.v1.runner_service_pb2 import WakeUpResponse

RunId = Annotated[str, typer.Argument(help="The run that waits.", show_default=False)]
NodeId = Annotated[str, typer.Argument(help="The approval; needed only where the run waits for several.")]
Approver = Annotated[str, typer.Option(help="Who decides; your login name unless given.", show_default=False)]
Comment = Annotated[str, typer.Option(help="Why; it stands in the run's log.", show_default=False)]
Runner = Annotated[
    str | None,
    typer.Option(envvar="WAKEPOINT_RUNNER_ADDRESS", help="host:port of runner_service; 127.0.0.1:50052 unless given."),
]


class CannotDecide(Exception):
    """There is nothing to decide, or more than one thing."""


def approve(
    run_id: RunId, node_id: NodeId = "", approver: Approver = "", comment: Comment = "", runner: Runner = None
) -> None:
    """Approve what a run waits for. Status 1: it was not taken."""
    _decide("approve", run_id, node_id, approver, comment, runner)


def reject(
    run_id: RunId, node_id: NodeId = "", approver: Approver = "", comment: Comment = "", runner: Runner = None
) -> None:
    """Reject what a run waits for. Status 1: it was not taken."""
    _decide("reject", run_id, node_id, approver, comment, runner)


def _decide(decision: str, run_id: str, node_id: str, approver: str, comment: str, runner: str | None) -> None:
    payload = {"decision": decision, "approver": approver or getpass.getuser(), "comment": comment}
    try:
        answer = asyncio.run(_send(run_id, node_id, payload, runner))
    except (WakepointError, CannotDecide) as error:
        typer.echo(f"wakepoint {decision}: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(answer.message)
    if not answer.success:
        raise typer.Exit(1)


async def _send(run_id: str, node_id: str, payload: dict[str, str], runner: str | None) -> WakeUpResponse:
    async with Client(runner_address=runner) as client:
        return await client.wake_up(
            run_id=run_id,
            node_id=node_id or await _the_approval_of(client, run_id),
            payload=payload,
            event_type="wakepoint.approval",
            source="wakepoint/cli",
        )


async def _the_approval_of(client: Client, run_id: str) -> str:
    run = await client.get_run(run_id)
    waiting: list[SuspendedNode] = [
        node
        async for node in client.list_suspended(
            workflow_id=run.workflow_id, experiment_id=run.experiment_id, node_type="Approval", include_waiting=True
        )
        if node.run_id == run.run_id
    ]
    if len(waiting) != 1:
        names = ", ".join(node.node_id for node in waiting)
        what = f"several approvals: {names}" if names else "no approval"
        raise CannotDecide(f"run {run_id} waits for {what}")
    return waiting[0].node_id
