"""ListRunEvents."""

from dataclasses import dataclass

from runner_service.domain.history import EventType, HistoryEvent
from runner_service.storage import log
from runner_service.usecases.get_run import find_run
from runner_service.usecases.positions import number_at
from wakepoint.chassis.database import Database
from wakepoint.chassis.paging import PageToken, filter_hash, page_size_of


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A part of a run's log: lines with a larger seq than `after_seq`; empty: of any type, about any node."""

    run_id: str
    experiment_id: str | None = None
    after_seq: int = 0
    event_types: tuple[EventType, ...] = ()
    node_id: str | None = None

    def name(self) -> str:
        """Equal for equal queries."""
        return filter_hash(
            "ListRunEvents",
            {
                "r": self.run_id.lower(),
                "e": self.experiment_id,
                "a": self.after_seq,
                "t": sorted(self.event_types),
                "n": self.node_id,
            },
        )


async def list_run_events(
    database: Database, query: LogQuery, page_size: int, page_token: str
) -> tuple[list[HistoryEvent], str]:
    """A page of lines, oldest first, and the next page's token. NotFound: the run; InvalidArgument: a wrong token.

    Pages may be shorter than asked for, so that they fit into a message.
    """
    size = page_size_of(page_size)
    token = PageToken.decode(page_token, filter_hash=query.name())
    async with database.connection() as connection:
        run = await find_run(connection, query.run_id, query.experiment_id)
        page = await log.list_run_events(
            connection,
            run.run_id,
            after_seq=max(query.after_seq, number_at(token, 0)) if token else query.after_seq,
            limit=size,
            event_types=query.event_types,
            node_id=query.node_id,
        )
    if not page.more:
        return page.lines, ""
    last = page.lines[-1]
    return page.lines, PageToken(query.name(), last.create_time, (last.seq,)).encode()
