"""What time does to runs: waits and events expire, deadlines pass, turns come, node types appear and disappear."""

from collections.abc import Callable, Mapping

import structlog

from runner_service.domain.runs import WaitHealth
from runner_service.usecases.expire_events import expire_events
from runner_service.usecases.expire_waits import expire_waits
from runner_service.usecases.fail_overdue_runs import fail_overdue_runs
from runner_service.usecases.let_runs_in import forget_keys, let_runs_in
from runner_service.usecases.sort_out_unrunnable import sort_out_unrunnable
from runner_service.usecases.watch_health import count_unwell, watch_health
from runner_service.worker.hub import Hub
from wakepoint.chassis.database import Database
from wakepoint.chassis.errors import WakepointError

POLL_SECONDS = 1.0
COUNT_EVERY = 15
FORGET_EVERY = 3600

_log = structlog.stdlib.get_logger(__name__)

_EACH = (fail_overdue_runs, let_runs_in, expire_waits, expire_events, watch_health, sort_out_unrunnable)

Report = Callable[[Mapping[WaitHealth, int]], None]


async def keep_up(database: Database, hub: Hub, report: Report) -> None:
    """Until cancelled, once a second and whenever a run has ended; `report` gets how many waits fare ill."""
    polls = 0
    while True:
        changed = 0
        for sweep in _EACH:
            try:
                changed += await sweep(database, hub)
            except WakepointError as error:
                # The others are no less due for it.
                _log.warning("a sweep failed", sweep=sweep.__name__, error=error.message)
        if polls % COUNT_EVERY == 0:
            report(await count_unwell(database))
        if polls % FORGET_EVERY == 0:
            await forget_keys(database)
        polls += 1
        await hub.upkeep.wait(0.01 if changed else POLL_SECONDS)
