"""`wakepoint demo`, as a reader meets it: by itself, and with the reader killing, approving and trying the commands."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.embedded.watching import processes_of
from tests.support.conditions import eventually_sync

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can reach, which pytest's own are not when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-demo-"))
    folder.chmod(0o755)
    yield folder
    eventually_sync(lambda: processes_of(folder) == [])
    shutil.rmtree(folder)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., "Demo"]]:
    """Starts the demo with variables of the environment; what still runs after the test is ended."""
    with ExitStack() as running:

        def start(**environment: str) -> Demo:
            demo = Demo(folder, **environment)
            running.callback(demo.end)
            return demo

        yield start


class Demo:
    """A running `wakepoint demo` and what it has printed so far."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._printed = folder / "printed.txt"
        with self._printed.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wakepoint.cli", "demo", "--any-ports", "--data", str(folder / "data")],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **environment},
            )

    @property
    def text(self) -> str:
        return self._printed.read_text()

    def read_until(self, pattern: str) -> re.Match[str]:
        """The first place that matches in what it has printed, once there is one."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.text, re.MULTILINE)
            assert found or self.process.poll() is None, f"it ended without {pattern!r}:\n{self.text}"
            return found

        found = eventually_sync(look, timeout=90)
        assert found is not None
        return found

    def command(self, beginning: str, after: str) -> str:
        """The first command line with that beginning, after that text."""
        return self.read_until(rf"{re.escape(after)}(?:.|\n)*?^    \$ ({re.escape(beginning)}.*)$").group(1)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)


def shell(command: str) -> Any:
    """Run a line as it was printed, with the real tools; the JSON that it answered."""
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, check=False, timeout=30, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return json.loads(done.stdout)


def test_the_demo_tells_its_story_and_ends_by_itself(start: Callable[..., Demo]) -> None:
    demo = start(WAKEPOINT_KEEP="0")
    assert demo.process.wait(150) == 0, demo.text
    chapters = re.findall(r"^ ?(\d+)  (\S.*?) +\d+\.\d s$", demo.text, re.MULTILINE)
    assert [int(number) for number, _ in chapters] == list(range(1, 14)), demo.text
    assert chapters[-1][1] == "Everything is stopped"
    assert "ok  the evaluation ran once, before the kill" in demo.text
    assert "ok  the row is still there, and the same to the last bit" in demo.text
    note = r"The model of training job [0-9a-f-]{36} reads 8\d\d of 899 unseen digits; approved by ada"
    assert re.search(note, demo.text)
    log = [line.split() for line in demo.text.splitlines() if re.match(r"^    \d+ +\d\d:\d\d:\d\d\.\d{3} ", line)]
    assert [row[2] for row in log if row[3:4] == ["evaluate"]].count("NodeCompleted") == 1
    assert log[-1][2] == "RunCompleted"


@pytest.mark.parametrize("tool", ["curl", "grpcurl"])
def test_the_reader_kills_and_approves_and_every_printed_command_works(start: Callable[..., Demo], tool: str) -> None:
    demo = start(WAKEPOINT_INTERACTIVE="1")
    pids = demo.command("kill -9", after="Both services are killed").split()[2:]
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    answer = shell(demo.command(tool, after="A person approves"))
    assert answer["disposition"] in ("DELIVERED", "WAKE_UP_DISPOSITION_DELIVERED")
    demo.read_until("Everything stays up until Ctrl-C")
    try_the_three(demo)
    assert demo.end() == 0, demo.text


def try_the_three(demo: Demo) -> None:
    next_ones = "Three commands to try next"
    reported = shell(demo.command('grpcurl -plaintext -d \'{"event"', after=next_ones))
    assert reported["disposition"] == "REPORT_DISPOSITION_ACCEPTED"
    assert len(reported["firings"]) == 1
    listing = demo.command('grpcurl -plaintext -d \'{"experiment_id"', after=next_ones)
    waiting = eventually_sync(lambda: approvals_in(shell(listing)), timeout=30)
    assert waiting[0]["metadata"]["webhook_url"].startswith("http://127.0.0.1:")
    workflow = shell(demo.command("curl", after=next_ones))
    assert workflow["trigger_configs"][0]["is_enabled"] is True


def approvals_in(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [node for node in answer.get("suspended", []) if (node.get("node_id") or node["nodeId"]) == "approval"]


def test_enter_has_it_done_and_a_stop_from_outside_leaves_nothing(start: Callable[..., Demo]) -> None:
    demo = start(WAKEPOINT_INTERACTIVE="1")
    assert demo.process.stdin is not None
    for place in ("Both services are killed", "A person approves"):
        demo.read_until(rf"{place}(?:.|\n)*press Enter")
        demo.process.stdin.write(b"\n")
        demo.process.stdin.flush()
    demo.read_until("Everything stays up until Ctrl-C")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(60) == 0, demo.text


def test_a_demo_that_cannot_start_says_why_and_fails(start: Callable[..., Demo]) -> None:
    demo = start(WAKEPOINT_KEEP="0", RUNNER_LOG_LEVEL="nonsense")
    assert demo.process.wait(60) == 1
    assert "RUNNER_LOG_LEVEL" in demo.text
    assert "Traceback" not in demo.text
