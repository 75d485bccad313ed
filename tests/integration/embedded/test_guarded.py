"""A child process that ends with its parent."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.conditions import eventually_sync
from wakepoint.chassis.embedded import EmbeddedError, Guarded, Stop

STUBBORN = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done"


def ready(output: Path) -> bool:
    return output.exists() and "ready" in output.read_text()


def test_the_exit_status_and_the_output_are_the_programs(tmp_path: Path) -> None:
    output = tmp_path / "out"
    for text in ("one", "two"):
        program = Guarded.start(["sh", "-c", f"echo {text}; exit 7"], output=output)
        assert program.wait(10) == 7
        assert program.exit_code == 7
    assert output.read_text() == "one\ntwo\n"


def test_a_signal_reaches_the_program_and_nobody_after_its_end(tmp_path: Path) -> None:
    program = Guarded.start(["sleep", "600"])
    program.send_signal(signal.SIGUSR1)
    assert program.wait(10) == -signal.SIGUSR1
    program.send_signal(signal.SIGKILL)
    assert program.exit_code == -signal.SIGUSR1


def test_stopping_goes_step_by_step_to_sigkill(tmp_path: Path) -> None:
    output = tmp_path / "out"
    program = Guarded.start(
        ["sh", "-c", STUBBORN], stops=[Stop(signal.SIGTERM, 0.1), Stop(signal.SIGINT, 0.1)], output=output
    )
    eventually_sync(lambda: ready(output))
    assert program.stop(10) == -signal.SIGKILL


def test_waiting_has_an_end() -> None:
    program = Guarded.start(["sleep", "600"])
    with pytest.raises(TimeoutError):
        program.wait(0.05)
    assert program.stop(10) == -signal.SIGTERM


def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(EmbeddedError, match="cannot start /no/such/program"):
        Guarded.start(["/no/such/program"])


PARENT = """
import sys, time
from pathlib import Path
from wakepoint.chassis.embedded import Guarded, Stop
import signal
program = Guarded.start(["sh", "-c", sys.argv[1]], stops=[Stop(signal.SIGTERM, 0.1)], output=Path(sys.argv[2]))
print(program.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["parent", "warden"])
def test_it_ends_with_a_killed_parent_or_warden(tmp_path: Path, victim: str) -> None:
    output = tmp_path / "out"
    script = STUBBORN if victim == "parent" else STUBBORN.removeprefix("trap '' TERM INT; ")
    with subprocess.Popen([sys.executable, "-c", PARENT, script, output], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        program = psutil.Process(int(parent.stdout.readline()))
        warden = program.parent()
        assert warden is not None
        eventually_sync(lambda: ready(output))
        (parent if victim == "parent" else warden).kill()
        eventually_sync(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
        parent.kill()


def test_other_programs_started_from_here_do_not_keep_it_alive(tmp_path: Path) -> None:
    output = tmp_path / "out"
    sibling = "import subprocess, sys; subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL)\n"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("time.sleep(600)", f"{sibling}time.sleep(600)"), STUBBORN, output],
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        program = psutil.Process(int(parent.stdout.readline()))
        eventually_sync(lambda: ready(output))
        eventually_sync(lambda: [c for c in psutil.Process(parent.pid).children() if c.name() == "sleep"])
        sleeper = next(c for c in psutil.Process(parent.pid).children() if c.name() == "sleep")
        parent.kill()
        eventually_sync(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
        sleeper.kill()
