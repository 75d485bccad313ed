"""CancelFiring."""

from __future__ import annotations

from typing import assert_never

from trigger_service.domain.firings import Firing, FiringState
from trigger_service.storage import firings
from trigger_service.usecases.environment import Environment, known_id, not_found
from trigger_service.usecases.retry_firing import dispatching
from wakepoint.chassis.database import Connection
from wakepoint.chassis.errors import FailedPrecondition


async def cancel_firing(env: Environment, firing_id: str, experiment_id: str) -> Firing:
    """Take back a firing that the runner does not have; cancelled already: no error.

    NotFound. Aborted: it is being handed over just now. FailedPrecondition: the runner has it.
    """
    key = known_id(firing_id, "firing")

    async def work(connection: Connection) -> Firing:
        found = await firings.lock(connection, key, experiment_id)
        if found is None:
            raise not_found(firing_id, "firing")
        match found.state:
            case FiringState.CANCELLED:
                return found
            case FiringState.DISPATCHING:
                raise dispatching()
            case FiringState.DISPATCHED:
                raise FailedPrecondition("the runner has the firing: cancel its run", reason="FIRING_DISPATCHED")
            case FiringState.QUEUED | FiringState.RETRYING | FiringState.HELD | FiringState.DEAD:
                return await firings.cancel(connection, key, "cancelled by request")
            case _:
                assert_never(found.state)

    return await env.database.run(work)
