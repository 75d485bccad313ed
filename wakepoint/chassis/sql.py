"""Named SQL: statements live in .sql files beside the code that calls them, and are loaded once by name.

A file is a row of blocks. Each block starts with a line `-- name: lock_run`, may go on with comment lines that say why
the statement is as it is, and ends with one statement that uses `$1`, `$2`, ... for its parameters:

    -- name: lock_run
    -- A statement of its own: what is decided next must see what the lock waited for.
    select state from runner.runs where run_id = $1 for no key update;
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType

_NAME_LINE = re.compile(r"^--\s*name:\s*(?P<name>\S*)\s*$")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Queries(Mapping[str, str]):
    """The statements of one file by name; an unknown name says which file it was looked for in."""

    __slots__ = ("_queries", "_source")

    def __init__(self, source: str, queries: Mapping[str, str]) -> None:
        self._source = source
        self._queries = MappingProxyType(dict(queries))

    def __getitem__(self, name: str) -> str:
        try:
            return self._queries[name]
        except KeyError:
            raise KeyError(f"{self._source} has no statement named {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)


def load(package: str, resource: str) -> Queries:
    """The statements of `resource` (a file name such as `runs.sql`) in `package`. ValueError when it is malformed."""
    text = resources.files(package).joinpath(resource).read_text(encoding="utf-8")
    return parse(text, source=f"{package}/{resource}")


def parse(text: str, source: str) -> Queries:
    """The statements in `text`; the name line is kept as a comment, so that a slow query's log names the statement."""
    queries: dict[str, str] = {}
    name, lines = "", list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        match = _NAME_LINE.match(line)
        if match is None:
            lines.append(line)
            continue
        _keep(queries, name, lines, source)
        name, lines = match["name"], []
        if not _NAME.fullmatch(name) or name in queries:
            raise ValueError(f"{source}:{number}: {name!r} is not a new lower_snake_case name")
    _keep(queries, name, lines, source)
    return Queries(source, queries)


def _keep(queries: dict[str, str], name: str, lines: list[str], source: str) -> None:
    statement = [line for line in lines if line.strip() and not line.lstrip().startswith("--")]
    if not name and statement:
        raise ValueError(f"{source}: SQL before the first '-- name:' line")
    if name and not statement:
        raise ValueError(f"{source}: {name!r} has no statement")
    if name:
        queries[name] = "\n".join([f"-- {name}", *statement]).rstrip().removesuffix(";")
