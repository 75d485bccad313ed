"""ReportRunStates."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_service.domain.limits import MAX_BATCH
from trigger_service.storage import firings
from trigger_service.storage.firings import RunResult
from trigger_service.usecases.environment import Environment
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import InvalidArgument


async def report_run_states(env: Environment, results: Sequence[RunResult]) -> int:
    """Record how runs ended; results of unknown firings are passed over. How many firings are known."""
    if len(results) > MAX_BATCH:
        raise InvalidArgument.of("results", f"must not be more than {MAX_BATCH}")
    newest: dict[object, RunResult] = {}
    for result in results:
        standing = newest.get(result.firing_id)
        if standing is None or standing.attempt <= result.attempt:
            newest[result.firing_id] = result

    async def work(connection: Connection) -> int:
        return await firings.record_run_states(connection, list(newest.values()))

    return await env.database.run(work) if newest else 0
