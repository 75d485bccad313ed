import os
import signal
import subprocess
import sys

import pytest

_PASS_THREE = (
    "from wakepoint.chassis.failpoints import hit\nfor i in range(3):\n    print(i, flush=True)\n    hit('runner.a')"
)


def _start(spec: str | None) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "WAKEPOINT_FAILPOINT"}
    if spec is not None:
        environment["WAKEPOINT_FAILPOINT"] = spec
    return subprocess.Popen(
        [sys.executable, "-c", _PASS_THREE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("spec", "lines", "code"),
    [
        (None, 3, 0),
        ("", 3, 0),
        ("runner.b", 3, 0),
        ("runner.a", 1, -signal.SIGKILL),
        ("runner.a@2", 2, -signal.SIGKILL),
        ("runner.b, runner.a@3", 3, -signal.SIGKILL),
        ("runner.a@4", 3, 0),
    ],
)
def test_the_process_dies_at_the_armed_hit_and_nowhere_else(spec: str | None, lines: int, code: int) -> None:
    process = _start(spec)
    output, _ = process.communicate(timeout=30)
    assert output.splitlines() == [str(i) for i in range(lines)]
    assert process.returncode == code


def test_a_stopped_process_goes_on_when_it_is_told_to() -> None:
    process = _start("runner.a@2:stop")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP
    os.kill(process.pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    assert (output.splitlines(), process.returncode) == (["0", "1", "2"], 0)


def test_a_misspelt_failpoint_stops_the_process_from_starting() -> None:
    process = _start("runner.a@zero")
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "'runner.a@zero' is not of the form name[@N][:stop]" in complaint
