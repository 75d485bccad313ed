"""`python -m runner_service`, and the script `wakepoint-runner`."""

from runner_service.app import MIGRATIONS, SCHEMA, serve
from runner_service.settings import Settings
from runner_service.verify import main as verify
from wakepoint.chassis.server.command import run


def main() -> None:
    """Serve until told to stop; with the argument `migrate` only migrate; with `verify` look the database through."""
    run(Settings, serve, schema=SCHEMA, package=MIGRATIONS, commands={"verify": verify})


if __name__ == "__main__":
    main()
