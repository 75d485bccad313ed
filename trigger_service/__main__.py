"""`python -m trigger_service`, and the script `wakepoint-trigger`."""

from __future__ import annotations

from trigger_service.app import MIGRATIONS, SCHEMA, serve
from trigger_service.settings import Settings
from wakepoint.chassis.server import command


def main() -> None:
    """Serve until told to stop; with the argument `migrate`, only migrate."""
    command.run(Settings, serve, schema=SCHEMA, package=MIGRATIONS)


if __name__ == "__main__":
    main()
