"""What the README tells a newcomer to type, typed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conditions import eventually_sync
from tests.support.folders import reachable_folder
from wakepoint.cli.stack import Stack

pytestmark = pytest.mark.acceptance

README = Path(__file__).resolve().parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with reachable_folder("wakepoint-readme-") as data, Stack(data, any_ports=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README shows."""
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL):
        (tmp_path / name).write_text(content)
    return tmp_path


def run(line: str, stack: Stack, folder: Path, **variables: str) -> str:
    """Run a line of the README against this stack; what it printed."""
    ports = {"50051": stack.addresses["trigger"].grpc, "50052": stack.addresses["runner"].grpc}
    for port, address in ports.items():
        line = line.replace(f"127.0.0.1:{port}", address)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, "WAKEPOINT_RUNNER_ADDRESS": ports["50052"], **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def commands() -> list[str]:
    """The shell commands of the README, each whole."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
    return [line for line in re.split(r"\n(?=grpcurl|curl|wakepoint)", blocks.strip()) if line]


def the_command(*words: str) -> str:
    (found,) = [line for line in commands() if all(word in line for word in words)]
    return found


@pytest.mark.skipif(shutil.which("grpcurl", path=str(Path(sys.executable).parent)) is None, reason="no grpcurl here")
@pytest.mark.parametrize("way", ["WakeUp", "curl -H", "wakepoint approve"])
def test_the_readmes_lines_lead_from_a_job_to_an_approved_run(stack: Stack, folder: Path, way: str) -> None:
    name = way.split(maxsplit=1)[0].lower()
    experiment, job = f"digits-{name}", f"job-{name}"
    workflow = folder / "workflow.json"
    workflow.write_text(workflow.read_text().replace('"digits"', f'"{experiment}"'))
    run(the_command("CreateWorkflow"), stack, folder)
    report = the_command("ReportJobEvent").replace('"digits"', f'"{experiment}"').replace("job-1", job)
    assert "ACCEPTED" in run(report, stack, folder)
    listing = the_command("ListSuspended").replace('"digits"', f'"{experiment}"')
    (waiting,) = eventually_sync(lambda: json.loads(run(listing, stack, folder)).get("suspended"))
    variables = {"RUN_ID": waiting["run_id"], "WEBHOOK_URL": waiting["metadata"]["webhook_url"]}
    assert re.search("DELIVERED|goes on", run(the_command(way), stack, folder, **variables))

    def outputs() -> object:
        found = json.loads(run(the_command("GetRun"), stack, folder, **variables))
        return found["state"] == "RUN_STATE_COMPLETED" and found["outputs"]

    assert eventually_sync(outputs) == {"result": f"{job} approved by ada"}


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_decision_on_nothing_says_so_and_fails(stack: Stack, folder: Path, decision: str) -> None:
    line = f"! wakepoint {decision} 01a20223-adcc-71ab-abba-10d250590121 2>&1"
    assert "does not exist" in run(line, stack, folder)


def test_every_command_of_the_readme_is_run_by_these_tests() -> None:
    named = ["CreateWorkflow", "ReportJobEvent", "ListSuspended", "WakeUp", "curl -H", "wakepoint approve", "GetRun"]
    assert sorted(the_command(name) for name in named) == sorted(commands())


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (README.parent / target).exists(), target
