"""`python -m trigger_service`, and the script `wakepoint-trigger`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trigger_service.app import MIGRATIONS, SCHEMA, blueprints_of, serve
from trigger_service.legacy import command as legacy
from trigger_service.settings import Settings
from wakepoint.chassis.migrations import migrate
from wakepoint.chassis.server import command, launch


def main() -> None:
    """Serve until told to stop; with the argument `migrate`, only migrate; `import-legacy PATH` imports and ends."""
    command.run(Settings, serve, schema=SCHEMA, package=MIGRATIONS, commands={"import-legacy": import_legacy})


def import_legacy(arguments: Sequence[str]) -> int:
    """Take over another system's workflows; the status says how that went."""
    options = legacy.parser().parse_args(arguments)
    status = 1

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    async def work(settings: Settings) -> None:
        nonlocal status
        await migrate(settings.dsn, schema=SCHEMA, package=MIGRATIONS, mode=settings.migrate)
        status = await legacy.run(settings, blueprints_of(settings), options, say)

    launch(Settings, work)
    return status


if __name__ == "__main__":
    main()
