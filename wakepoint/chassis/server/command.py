"""What a service understands on its command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from wakepoint.chassis.migrations import migrate
from wakepoint.chassis.server.host import launch
from wakepoint.chassis.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)

_USAGE = """usage: {program} [{words}]

Serves until told to stop. With `migrate` it only brings its schema up to this version and ends: as the schema's owner,
before services start whose role may not change tables (MIGRATE=check). Settings come from the environment:
  {settings}
"""


def run(
    settings_type: type[S],
    serve: Callable[[S], Coroutine[Any, Any, None]],
    *,
    schema: str,
    package: str,
    commands: Mapping[str, Callable[[Sequence[str]], int]] = MappingProxyType({}),
) -> None:
    """A service's whole `main`: `serve`, or with the argument `migrate` only the migrations in `package`.

    `commands`: the service's own ones, each called with the arguments behind its name; what it returns is the process's
    status. Anything else ends with the usage, and with status 2 unless it asked for help.
    """

    async def only_migrate(settings: S) -> None:
        await migrate(settings.dsn, schema=schema, package=package, mode="auto")

    match sys.argv[1:]:
        case []:
            launch(settings_type, serve)
        case ["migrate"]:
            launch(settings_type, only_migrate)
        case [name, *rest] if name in commands:
            sys.exit(commands[name](rest))
        case arguments:
            asked = arguments in (["-h"], ["--help"])
            prefix = settings_type.model_config.get("env_prefix", "")
            names = "\n  ".join(f"{prefix}{name}".upper() for name in settings_type.model_fields)
            words = " | ".join(["migrate", *(f"{name} ..." for name in commands)])
            usage = _USAGE.format(program=Path(sys.argv[0]).name, words=words, settings=names)
            (sys.stdout if asked else sys.stderr).write(usage)
            sys.exit(0 if asked else 2)
