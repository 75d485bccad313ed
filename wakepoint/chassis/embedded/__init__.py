"""A Postgres server that comes with the Python environment and ends with the process that started it.

::

    with EmbeddedPostgres(Path("/var/lib/wakepoint/postgres")) as postgres:
        dsn = postgres.create_database("trigger")

`Guarded` is the part of it that any child process can use: it ends with its parent, however the parent ends.
"""

from wakepoint.chassis.embedded.guarded import Guarded, Stop
from wakepoint.chassis.embedded.location import default_data_dir
from wakepoint.chassis.embedded.postgres import EmbeddedPostgres
from wakepoint.chassis.embedded.problems import AlreadyRunning, EmbeddedError

__all__ = ["AlreadyRunning", "EmbeddedError", "EmbeddedPostgres", "Guarded", "Stop", "default_data_dir"]
