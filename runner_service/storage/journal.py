"""Lines that are written by somebody who does not hold the run."""

from collections.abc import Mapping, Sequence

from runner_service.domain.history import Line
from runner_service.storage.encoding import line_json
from wakepoint.chassis import sql
from wakepoint.chassis.database import Connection

QUERIES = sql.load(__package__, "journal.sql")


async def append_lines(connection: Connection, lines: Mapping[str, Sequence[Line]]) -> None:
    """Write lines, by run id, to the logs of runs that this transaction has locked."""
    rows = [
        {"run_id": run_id, "lines": [line_json(line) for line in written]}
        for run_id, written in lines.items()
        if written
    ]
    if rows:
        await connection.execute(QUERIES["append_lines"], rows)
