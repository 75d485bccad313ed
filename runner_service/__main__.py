"""`python -m runner_service`, and the script `wakepoint-runner`."""

from runner_service.app import MIGRATIONS, SCHEMA, serve
from runner_service.settings import Settings
from wakepoint.chassis.server.command import run


def main() -> None:
    """Serve until told to stop; with the argument `migrate` only migrate."""
    run(Settings, serve, schema=SCHEMA, package=MIGRATIONS)


if __name__ == "__main__":
    main()
