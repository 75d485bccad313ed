"""The commands of dev.py, inside the environment that it made."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TYPED = ["wakepoint", "trigger_service", "runner_service", "tests", "tools", "examples"]

# What is checked, in the order in which a mistake is cheapest to see.
CHECKS = {
    "style": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "--diff", "--quiet", "."],
    "locks": [PYTHON, "tools/locks.py", "check"],
    "floors": ["lint-imports"],
    "dependencies": ["deptry", "."],
    "protos": [PYTHON, "tools/protos.py", "check"],
    "deploy": [PYTHON, "tools/deploy.py", "check"],
    "types": ["mypy", "dev.py", *(name for name in TYPED if next(ROOT.glob(f"{name}/**/*.py"), None))],
}


def passes(name: str, command: list[str]) -> bool:
    """Runs one check; only a failed one shows what it said."""
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    verdict = "FAILED" if done.returncode else "ok"
    print(f"{name:<14} {verdict:<6} {time.monotonic() - start:6.1f} s", flush=True)
    if done.returncode:
        print(done.stdout, flush=True)
    return done.returncode == 0


def check(_arguments: list[str]) -> int:
    """Every check, also after one that failed."""
    checks = {name: command for name, command in CHECKS.items() if exists(command)}
    failed = [name for name, command in checks.items() if not passes(name, command)]
    summary = f"{len(checks) - len(failed)} of {len(checks)} checks passed"
    print(f"{summary}; failed: {', '.join(failed)}" if failed else summary, flush=True)
    return 1 if failed else 0


def test(arguments: list[str]) -> int:
    """The checks and all tests; after a failed check too, so that one run tells everything."""
    pytest = [PYTHON, "-m", "pytest"]
    if arguments:
        return subprocess.call([*pytest, *arguments])
    checked = check([])
    workers = str(min(4, os.cpu_count() or 1))
    tested = subprocess.call([*pytest, "-q", "-n", workers, "--dist", "loadfile"])
    return tested or checked


def exists(command: list[str]) -> bool:
    """Whether the script of this repository that a command runs is there; commands without one always are."""
    return all(Path(word).exists() for word in command if word.endswith(".py"))


def becomes(*command: str) -> Callable[[list[str]], int]:
    """A task that is another program, which takes this one's place and gets its signals."""

    def run(arguments: list[str]) -> int:
        if not exists(list(command)):
            print(f"{command[0]} does not exist yet, so there is nothing to run.", file=sys.stderr)
            return 2
        return os.execv(PYTHON, [PYTHON, *command, *arguments])

    return run


TASKS: dict[str, Callable[[list[str]], int]] = {
    "run": becomes("-m", "wakepoint.cli", "demo"),
    "test": test,
    "check": check,
    "proto": becomes("tools/protos.py", "generate"),
    "bench": becomes("benchmarks/run.py"),
    "bench-quick": becomes("benchmarks/run.py", "--quick"),
    "chaos": becomes("tests/chaos/run.py"),
    "docs": becomes("tools/docs.py"),
    "deploy-check": becomes("tools/deploy.py", "check"),
}


def main(arguments: list[str]) -> int:
    """Runs the task that the first argument names, at the repository's root."""
    if arguments[0] not in TASKS:
        print(f"There is no command {arguments[0]!r}. Commands: install, {', '.join(TASKS)}", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    return TASKS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
