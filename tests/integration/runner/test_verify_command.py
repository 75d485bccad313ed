"""`wakepoint verify`, as it is typed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


def typed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "RUNNER_DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "wakepoint.cli", "verify", *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_verifies_the_database_of_the_environment(runner_dsn: str) -> None:
    done = typed("--experiment", "e1", RUNNER_DATABASE_URL=runner_dsn)
    assert (done.returncode, done.stdout) == (0, "0 runs with 0 lines of log checked: no findings\n")


def test_it_finds_the_database_of_a_data_directory(runner_dsn: str, tmp_path: Path) -> None:
    target = urlsplit(runner_dsn)
    if target.username != "wakepoint" or target.hostname != "127.0.0.1":
        pytest.skip("an external server is no data directory's")
    folder = tmp_path / "postgres"
    folder.mkdir()
    (folder / "port").write_text(f"{target.port}\n")
    (folder / "password").write_text(unquote(target.password or ""))
    done = typed("--json", "--data", str(tmp_path))
    # That server has no database `runner`: it was found and asked.
    assert done.returncode == 2
    assert "runner" in done.stderr
    assert "database" in done.stderr
    shutil.rmtree(folder)
    done = typed("--data", str(tmp_path))
    assert done.returncode == 2
    assert "no Postgres was ever started on" in done.stderr
