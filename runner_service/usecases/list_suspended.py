"""ListSuspended."""

from dataclasses import dataclass, replace
from datetime import timedelta

from runner_service.domain.runs import SuspendedNode
from runner_service.storage import runs, waits
from runner_service.usecases.positions import id_at, printable, text_at, time_at
from wakepoint.chassis.database import Database
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of

LONGEST_IDLE = timedelta(days=36_500)
"""Nothing has waited for longer, and Postgres can subtract it from any time."""


@dataclass(frozen=True, slots=True)
class SuspendedPage:
    """Waiting nodes, the token of the next page, and about how many match in all."""

    nodes: list[SuspendedNode]
    next_page_token: str
    total_estimate: int


async def list_suspended(
    database: Database, where: waits.SuspendedFilter, page_size: int, page_token: str
) -> SuspendedPage:
    """A page of waiting nodes, the longest wait first. InvalidArgument: not a token of this query."""
    size = page_size_of(page_size)
    query = _name(where)
    token = PageToken.decode(page_token, filter_hash=query)
    after = waits.WaitKey(time_at(token, 0), id_at(token, 1), text_at(token, 2)) if token else None
    if where.min_idle is not None:
        where = replace(where, min_idle=min(where.min_idle, LONGEST_IDLE))
    async with database.connection() as connection:
        as_of = token.as_of if token else await runs.as_of(connection)
        found = await waits.list_suspended(connection, where, after=after, limit=size + 1, as_of=as_of)
        total = await waits.count_suspended(connection, where)
    shown, next_token = found[:size], ""
    if len(found) > size:
        last = shown[-1]
        key = (last.create_time.isoformat(), last.run_id, printable(last.node_id))
        next_token = PageToken(query, as_of, key).encode()
    return SuspendedPage(shown, next_token, total)


def _name(where: waits.SuspendedFilter) -> str:
    return filter_hash(
        "ListSuspended",
        {
            "e": where.experiment_id,
            "w": where.workflow_id,
            "t": where.node_type,
            "i": where.min_idle,
            "h": where.health,
            "hot": where.include_waiting,
        },
    )
