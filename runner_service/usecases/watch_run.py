"""WatchRun: a run's log, as it grows."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from runner_service.domain.history import HistoryEvent
from runner_service.storage import log, runs
from runner_service.usecases.get_run import find_run
from wakepoint.chassis.clock import Clock
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.tasks import Poke

POLL_SECONDS = 0.5
"""Steps that another replica commits are not signalled here."""

PAGE = 50


class LogWatch:
    """Tells those who follow a run in this process that its log has grown; knows only runs that somebody follows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._followers: dict[str, set[Poke]] = defaultdict(set)

    @property
    def followers(self) -> int:
        """How many follow a run now."""
        return sum(len(pokes) for pokes in self._followers.values())

    def grew(self, run_id: str) -> None:
        """The run's log has new lines; for `Signals.log_grew`."""
        for poke in self._followers.get(run_id, ()):
            poke.poke()

    @contextmanager
    def following(self, run_id: str) -> Iterator[Poke]:
        """What is poked each time the run's log has grown."""
        poke = Poke(self._clock)
        self._followers[run_id].add(poke)
        try:
            yield poke
        finally:
            self._followers[run_id].discard(poke)
            if not self._followers[run_id]:
                del self._followers[run_id]


async def watch_run(
    database: Database, watch: LogWatch, run_id: str, after_seq: int, experiment_id: str | None
) -> AsyncGenerator[HistoryEvent, None]:
    """The lines after `after_seq`, each once and in order; ends after the last line of a finished run. NotFound.

    Of what a slow consumer has not taken only its position is kept, besides one page of at most `PAGE` lines.
    """
    async with database.connection() as connection:
        run = await find_run(connection, run_id, experiment_id)
    position = after_seq
    with watch.following(run.run_id) as poke:
        while True:
            async with database.connection() as connection:
                progress = await runs.read_progress(connection, run.run_id)
                grown = progress is not None and progress.last_seq > position
                lines = await _next_lines(connection, run.run_id, position) if grown else []
            for line in lines:
                position = line.seq
                yield line
            if progress is None or (progress.state.finished and position >= progress.last_seq):
                return
            if not lines:
                await poke.wait(POLL_SECONDS)


async def _next_lines(connection: Connection, run_id: str, position: int) -> list[HistoryEvent]:
    return (await log.list_run_events(connection, run_id, after_seq=position, limit=PAGE)).lines
