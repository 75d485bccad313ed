"""Embedded servers held by processes of their own, so that those can be killed."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.embedded.watching import processes_of
from wakepoint.chassis.embedded.account import Account, first_closed_folder

HOLDER = Path(__file__).with_name("holder.py")
ROOT = Path(__file__).parents[3]
PACKAGES = Path(psutil.__file__).parents[1]


class Holder:
    """A running holder.py and what it said first."""

    def __init__(self, data_dir: Path, account: Account | None, python_path: Path = ROOT) -> None:
        modules = f"{python_path}:{ROOT}:{PACKAGES}"
        self.process = subprocess.Popen(
            [_interpreter(account), str(HOLDER), str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End it cleanly, if it still runs."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def _ordinary_user() -> Account:
    entry = pwd.getpwnam("nobody")
    account = Account("nobody", entry.pw_uid, entry.pw_gid)
    closed = first_closed_folder(ROOT, account) or first_closed_folder(PACKAGES, account)
    if closed is not None:
        pytest.skip(f"an ordinary user cannot enter {closed}")
    return account


def _interpreter(account: Account | None) -> str:
    """This Python; for a user who cannot enter where it is installed, the system's of the same version."""
    if account is None or first_closed_folder(Path(sys.executable).resolve().parent, account) is None:
        return sys.executable
    named = f"/usr/bin/python3.{sys.version_info.minor}"
    if not Path(named).exists():
        pytest.skip(f"{account.name} cannot use {sys.executable}, and there is no {named}")
    return named


@pytest.fixture(params=["as this user", "as an ordinary user"])
def account(request: pytest.FixtureRequest) -> Account | None:
    """Who runs the holder: this user (root in a container), and, when that is root, an ordinary user as well."""
    if request.param == "as this user":
        return None
    if os.geteuid() != 0:
        pytest.skip("this user is an ordinary user already")
    return _ordinary_user()


@pytest.fixture
def data_dir(account: Account | None) -> Iterator[Path]:
    """A data directory that an unprivileged server can reach, which pytest's own temporary folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-test-"))
    folder.chmod(0o755)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    yield folder / "data"
    assert processes_of(folder) == []
    shutil.rmtree(folder)


@pytest.fixture
def hold(data_dir: Path, account: Account | None) -> Iterator[Callable[[], Holder]]:
    """Starts a holder on the data directory; those that still run are ended after the test."""
    with ExitStack() as stack:

        def start() -> Holder:
            holder = Holder(data_dir, account)
            stack.callback(holder.close)
            return holder

        yield start
