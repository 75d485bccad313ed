"""ListRuns."""

from runner_service.domain.runs import Run
from runner_service.storage import runs
from runner_service.usecases.positions import id_at
from wakepoint.chassis.database import Database
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


async def list_runs(
    database: Database, where: runs.RunFilter, page_size: int, page_token: str
) -> tuple[list[Run], str]:
    """A page of runs, newest first, and the next page's token. InvalidArgument: not a token of this query."""
    size = page_size_of(page_size)
    query = filter_hash("ListRuns", {"e": where.experiment_id, "w": where.workflow_id, "s": sorted(where.states)})
    token = PageToken.decode(page_token, filter_hash=query)
    before = id_at(token, 0) if token else None
    async with database.connection() as connection:
        as_of = token.as_of if token else await runs.as_of(connection)
        found = await runs.list_runs(connection, where, before=before, limit=size + 1, as_of=as_of)
    shown = found[:size]
    return shown, PageToken(query, as_of, (shown[-1].run_id,)).encode() if len(found) > size else ""
