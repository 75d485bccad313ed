"""Finding node classes: the built-in ones, those of installed packages, and those of a user's own files."""

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from runner_service import nodes as builtin
from wakepoint.nodes import Node, TriggerNode

ENTRY_POINT_GROUP = "wakepoint.nodes"


class NodeLoadError(Exception):
    """A node type cannot be offered; the message says why, and what its author can do."""


def find_classes(files: tuple[Path, ...]) -> Iterator[type[Node]]:
    """Every node class there is, the built-in ones first; a class may come twice. Raises NodeLoadError."""
    yield from _classes_of_module(builtin)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            found = point.load()
        except Exception as error:
            raise NodeLoadError(
                f"entry point {point.name} = {point.value!r} cannot be imported: {_told(error)}"
            ) from error
        yield from _classes_of_entry(point.name, found)
    for file in files:
        yield from _classes_of_module(_import_file(file))


def check_class(node_class: type[Node]) -> None:
    """Raise NodeLoadError when the runner could not run the class."""
    name, process = node_class.__name__, node_class.process
    if inspect.isasyncgenfunction(process) or inspect.isgeneratorfunction(process):
        raise NodeLoadError(
            f"{name}.process() yields, and a generator's place cannot be kept in a database. Make it a TriggerNode: "
            "drop the loop, wait with `event = await self.wait_for_trigger_event()` (or with `wait_until(time)` for a "
            "timer) and return where it yielded; with `max_events: 0` process() is called again for the next event"
        )
    if node_class.repeatable and not inspect.iscoroutinefunction(process):
        raise NodeLoadError(f"{name}.process() is a plain function, which runs in a thread: repeatable must be False")
    if node_class.kind not in ("trigger", "wait", "work"):
        raise NodeLoadError(f"{name}.kind must be 'trigger', 'wait' or 'work', not {node_class.kind!r}")
    if (node_class.kind == "trigger") != issubclass(node_class, TriggerNode):
        raise NodeLoadError(f"{name} must be a TriggerNode to be of the kind 'trigger', and nothing else otherwise")
    if issubclass(node_class, TriggerNode) and node_class.model_fields["max_events"].default != 1:
        raise NodeLoadError(
            f"{name}.max_events must default to 1: how often a trigger fires is read from the graph alone"
        )


def _classes_of_entry(name: str, found: object) -> Iterator[type[Node]]:
    if isinstance(found, ModuleType):
        yield from _classes_of_module(found)
    elif isinstance(found, type) and issubclass(found, Node):
        yield found
    else:
        raise NodeLoadError(f"entry point {name} names neither a module nor a subclass of wakepoint.nodes.Node")


def _classes_of_module(module: ModuleType) -> Iterator[type[Node]]:
    """Those that `__all__` names; without it, those defined there whose names have no leading underscore."""
    names = getattr(module, "__all__", None)
    for name in names if names is not None else vars(module):
        value = getattr(module, name)
        if not (isinstance(value, type) and issubclass(value, Node)):
            continue
        if names is not None or (value.__module__ == module.__name__ and not name.startswith("_")):
            yield value


def _import_file(file: Path) -> ModuleType:
    name = f"wakepoint_user_nodes.{file.stem}_{abs(hash(file.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise NodeLoadError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Pydantic and inspect look a class's module up by its name while the class is being made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise NodeLoadError(f"{file} cannot be imported: {_told(error)}") from error
    return module


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
