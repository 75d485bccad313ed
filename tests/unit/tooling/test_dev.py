"""dev.py against an installer that only notes what it is asked to do."""

import ast
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

_FAKE_UV = """#!/bin/sh
echo "$*" >> "{log}"
case "$1 $*" in
  venv*) for last; do :; done; mkdir -p "$last/bin"; ln -sf "{python}" "$last/bin/python" ;;
  *--require-hashes*) if [ -e "{trap}" ]; then kill -9 $PPID; fi ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what dev.py reads, in a folder whose name has a space, and the fake installer's notes."""

    root: Path
    log: Path
    trap: Path

    def dev(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": f"{self.log.parent}:{os.environ['PATH']}",
            "WAKEPOINT_PYTHON": sys.executable,
            **environment,
        }
        command = [sys.executable, str(self.root / "dev.py"), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        """Which of the installer's steps ran since the last time this was asked."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        kinds = {"venv": "environment", "--require-hashes": "lock", "-e": "project"}
        return [next(kind for word, kind in kinds.items() if word in line.split()) for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, tools = tmp_path / "a checkout", tmp_path / "bin"
    root.mkdir()
    tools.mkdir()
    for name in ("dev.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    made = Checkout(root, tools / "log", tools / "trap")
    (tools / "uv").write_text(_FAKE_UV.format(log=made.log, trap=made.trap, python=sys.executable))
    (tools / "uv").chmod(0o755)
    return made


def test_an_old_python_can_parse_the_bootstrap() -> None:
    ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 6))


def test_the_environment_is_built_once(checkout: Checkout) -> None:
    assert checkout.dev("install").returncode == 0
    assert checkout.calls() == ["environment", "lock", "project"]
    assert checkout.dev("install").returncode == 0
    assert checkout.calls() == []


def test_an_environment_whose_building_was_killed_is_built_anew(checkout: Checkout) -> None:
    checkout.trap.touch()
    assert checkout.dev("install").returncode == -signal.SIGKILL
    checkout.trap.unlink()
    checkout.calls()
    assert checkout.dev("install").returncode == 0
    assert checkout.calls() == ["environment", "lock", "project"]


def test_another_lock_means_a_new_environment_without_what_was_in_the_old(checkout: Checkout) -> None:
    checkout.dev("install")
    checkout.calls()
    leftover = checkout.root / ".venv" / "lib" / "leftover.py"
    leftover.parent.mkdir()
    leftover.touch()
    (checkout.root / "requirements.lock").write_text("other==1\n")
    assert checkout.dev("install").returncode == 0
    assert checkout.calls() == ["environment", "lock", "project"]
    assert not leftover.exists()


def test_changed_metadata_installs_only_the_project_again(checkout: Checkout) -> None:
    checkout.dev("install")
    checkout.calls()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert checkout.dev("install").returncode == 0
    assert checkout.calls() == ["project"]


def test_a_moved_checkout_gets_an_environment_of_its_own(checkout: Checkout) -> None:
    checkout.dev("install")
    checkout.calls()
    moved = Checkout(checkout.root.rename(checkout.root.with_name("moved")), checkout.log, checkout.trap)
    assert moved.dev("install").returncode == 0
    assert moved.calls() == ["environment", "lock", "project"]


def test_a_folder_that_dev_py_did_not_make_is_refused_and_kept(checkout: Checkout, tmp_path: Path) -> None:
    precious = tmp_path / "home" / "precious"
    precious.parent.mkdir()
    precious.touch()
    refused = checkout.dev("install", WAKEPOINT_VENV=str(precious.parent))
    assert refused.returncode == 1
    assert "was not made by dev.py" in refused.stderr
    assert precious.exists()
    assert checkout.calls() == []


def test_a_python_that_is_too_old_or_none_is_refused_by_name(checkout: Checkout) -> None:
    refused = checkout.dev("install", WAKEPOINT_PYTHON="/bin/true")
    assert refused.returncode == 1
    assert "WAKEPOINT_PYTHON" in refused.stderr


@pytest.mark.parametrize("command", ["bench", "bench-quick", "chaos", "docs"])
def test_a_command_without_its_program_says_so(command: str, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "tasks.py", tmp_path / "tools")
    task = [sys.executable, str(tmp_path / "tools" / "tasks.py"), command]
    done = subprocess.run(task, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "does not exist yet" in done.stderr
