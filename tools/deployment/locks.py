"""What the image installs: the parts of the locks that a service runs on, and that its wheel is built with.

requirements.lock itself is for developers: it holds their tools, the embedded Postgres and the examples' libraries too.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.deployment.programs import output_of

RUNTIME = Path("deploy/locks/runtime.lock")
BUILD = Path("deploy/locks/build.lock")
BUILDER = "hatchling"
_EXPORT = "export --quiet --frozen --no-header --no-annotate --no-emit-project --no-default-groups"
_PINNED = re.compile(r"([a-z0-9._-]+)==")


def wanted(root: Path) -> dict[Path, str]:
    """What each lock must hold, from uv.lock and requirements.lock under `root`. Needs no network."""
    return {RUNTIME: output_of(root, "uv", *_EXPORT.split()), BUILD: _builder(root)}


def faults(root: Path) -> Iterator[str]:
    """The locks that are missing or stale."""
    for path, text in wanted(root).items():
        file = root / path
        if not file.exists() or file.read_text() != text:
            yield f"{path} is not what uv.lock says; run `python tools/deploy.py write`"


def write(root: Path) -> None:
    """Makes the locks say what uv.lock says."""
    for path, text in wanted(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _builder(root: Path) -> str:
    """The builder and all that it needs, as requirements.lock has them."""
    needed = _closure(tomllib.loads((root / "uv.lock").read_text()))
    blocks = re.split(r"\n(?=\S)", (root / "requirements.lock").read_text().rstrip("\n"))
    pinned = {match[1]: block for block in blocks if (match := _PINNED.match(block))}
    return "".join(f"{pinned[name]}\n" for name in sorted(needed))


def _closure(lock: dict[str, list[dict[str, object]]]) -> set[str]:
    depends = {str(package["name"]): package.get("dependencies", []) for package in lock["package"]}
    needed: set[str] = set()
    waiting = [BUILDER]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            found = depends[name]
            assert isinstance(found, list)
            waiting += [str(dependency["name"]) for dependency in found]
    return needed
