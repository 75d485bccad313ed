"""The two locks: uv.lock is the source, requirements.lock its export with hashes, from which plain pip installs.

`python tools/locks.py check` tells, without a network, whether they and pyproject.toml say the same;
`python tools/locks.py write` makes them do so, with `--upgrade` at the newest versions that the ranges admit.
"""

import re
import subprocess
import sys
from pathlib import Path

EXPORTED = Path("requirements.lock")
# What dev.py installs: enough to run, test and check everything but the job backends that need a cluster.
WANTED = "--no-emit-project --all-groups --extra embedded --extra examples"
EXPORT = f"uv export --quiet --frozen --no-header --no-annotate {WANTED}"
# A lock is for everybody: it may name no index but the public one, and nothing on the machine that resolved it.
PLACES = re.compile(r'(?:https?|file)://[^"\s]+|path = "[^"]*"')
PUBLIC = ("https://pypi.org/simple", "https://files.pythonhosted.org/packages/")


def exported() -> str:
    """What requirements.lock must hold."""
    return subprocess.run(EXPORT.split(), check=True, capture_output=True, text=True).stdout


def foreign_places(text: str) -> list[str]:
    """The addresses in a lock that only the machine that wrote it may know."""
    return sorted({place for place in PLACES.findall(text) if not place.startswith(PUBLIC)})


def check() -> list[str]:
    """What is wrong, in words."""
    faults = []
    command = "uv lock --check --offline --quiet"
    locked = subprocess.run(command.split(), check=False, capture_output=True, text=True)
    if locked.returncode:
        faults.append(f"uv.lock does not fit pyproject.toml; run `python tools/locks.py write`\n{locked.stderr}")
    if exported() != EXPORTED.read_text():
        faults.append("requirements.lock is not what uv.lock exports; run `python tools/locks.py write`")
    for name in ("uv.lock", "requirements.lock"):
        faults += [f"{name} names {place}" for place in foreign_places(Path(name).read_text())]
    return faults


def main(arguments: list[str]) -> int:
    """Exit status 0 if the locks agree."""
    if arguments[:1] == ["write"]:
        subprocess.run(["uv", "lock", *arguments[1:]], check=True)
        EXPORTED.write_text(exported())
    faults = check()
    print("\n".join(faults) or "the locks agree")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
