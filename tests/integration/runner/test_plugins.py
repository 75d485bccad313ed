"""A user's package brings a node type and a job backend: installed for real, run for real."""

import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "support" / "plugin"
SCRIPT = """
import asyncio, sys
from pathlib import Path
from runner_service.domain.projection import RunState
from tests.support.runner import chain, node, runner_on
from wakepoint.chassis.database import Database

async def main(dsn: str, folder: str) -> None:
    database = await Database.open(dsn, application_name="plugin")
    async with runner_on(database, dsn, Path(folder)) as runner:
        graph = chain(node("j", "RunJob", job_type="EVAL", command=["hello", "there"], backend="echo"),
                      node("s", "Shout", mark="?"), node("o", "Output"))
        run = await runner.until(await runner.start(graph), RunState.COMPLETED)
        print(run.outputs)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, as pip puts it there."""
    target = tmp_path_factory.mktemp("site")
    wheels = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=PLUGIN, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(target)], check=True, capture_output=True)
    return target


def test_an_installed_package_adds_node_types_and_job_backends(
    installed: Path, runner_dsn: str, tmp_path: Path
) -> None:
    root = PLUGIN.parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, runner_dsn, str(tmp_path)],
        env={"PYTHONPATH": f"{installed}:{root}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "{'o': 'HELLO THERE?'}" in done.stdout


def test_without_the_package_its_backend_is_refused_by_name() -> None:
    from runner_service.nodes.registry import NodeRegistry  # noqa: PLC0415 -- only here is the package not there

    faults = (
        NodeRegistry.load()
        .facts["RunJob"]
        .check_properties({"job_type": "EVAL", "command": ["true"], "backend": "echo"})
    )
    assert [(fault.field, fault.description) for fault in faults] == [
        ("backend", "'echo' is not installed; there are: subprocess")
    ]
