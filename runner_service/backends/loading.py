"""Finding job backends: the built-in one and those of installed packages, all by entry point."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from wakepoint.nodes.backends import ENTRY_POINT_GROUP, BackendFactory, JobBackend


class BackendLoadError(Exception):
    """A job backend cannot be offered; the message names it and says why."""


def load_backends(folder: Path, environment: Mapping[str, str]) -> dict[str, JobBackend]:
    """Every installed backend by name, each with the folder for files and the environment that jobs begin with.

    Raises BackendLoadError.
    """
    backends: dict[str, JobBackend] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            make: BackendFactory = point.load()
            backends[point.name] = make(folder, environment)
        except Exception as error:
            raise BackendLoadError(f"job backend {point.name} = {point.value!r} cannot be used: {error}") from error
    return backends
