"""A process that runs an embedded server until its standard input ends: `python holder.py DATA_DIR`."""

import json
import sys
from pathlib import Path

from wakepoint.chassis.embedded import EmbeddedError, EmbeddedPostgres


def main() -> None:
    """Print what was started, or why not, as one JSON line."""
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    try:
        dsn = postgres.start()
    except EmbeddedError as error:
        _say(error=type(error).__name__, message=str(error))
        return
    _say(dsn=dsn, pid=postgres.pid)
    sys.stdin.read()
    postgres.stop()


def _say(**fact: object) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
