"""What is in deploy/: rendered, validated, and held against the code. Works offline.

`python tools/deploy.py check` tells what is wrong; `python tools/deploy.py write` renews the locks that the image is
built from. A second argument names another root than this repository's.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # started as a script, Python looks beside it only

from tools.deployment import compose, environment, locks, manifests, pods, services, wiring  # noqa: E402


def check(root: Path) -> Iterator[str]:
    """Everything that is wrong, in words."""
    yield from locks.faults(root)
    version, known = services.project(root)
    yield from compose.dockerfile_faults(root)
    yield from compose.faults(root, version, known)
    for directory in (manifests.BASE, manifests.EXAMPLE):
        try:
            objects = manifests.render(root, directory)
        except subprocess.CalledProcessError as error:
            yield f"{directory} does not render: {error.stderr}"
            continue
        found = [*manifests.invalid(objects), *rules(objects, version, known)]
        if directory == manifests.EXAMPLE:
            found += wiring.dangling(objects)
        yield from (f"{directory}: {fault}" for fault in found)


def rules(objects: list[manifests.Object], version: str, known: dict[str, services.Service]) -> Iterator[str]:
    """What Kubernetes would accept and this project does not."""
    yield from pods.faults(objects, version)
    yield from wiring.faults(objects, services.served_paths())
    yield from environment.faults(objects, known)


def main(arguments: list[str]) -> int:
    """The exit status."""
    root = Path(arguments[1]) if len(arguments) > 1 else ROOT
    match arguments[:1]:
        case ["write"]:
            locks.write(root)
            return 0
        case ["check"]:
            faults = list(check(root))
            print("\n".join(faults) or "deploy/ renders, validates and fits the code", file=sys.stderr)
            return 1 if faults else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
