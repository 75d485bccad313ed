"""`wakepoint up` and `Stack`, with the real server and the real services as processes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.embedded.watching import processes_of
from tests.support.conditions import eventually_sync
from wakepoint.chassis.embedded import AlreadyRunning
from wakepoint.cli.ports import ServiceAddresses
from wakepoint.cli.service import ServiceFailed
from wakepoint.cli.stack import Stack

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the server's user can reach, which pytest's own are not when root runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="wakepoint-up-"))
    folder.chmod(0o755)
    yield folder / "data"
    eventually_sync(lambda: processes_of(folder) == [])
    shutil.rmtree(folder)


class Up:
    """A running `wakepoint up`: what it printed, and the addresses in that."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wakepoint.cli", "up", "--data", str(data_dir), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )

    def read_until(self, part: str) -> str:
        """Read lines until one has `part`; that line. Fails at the end of the output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if part in line:
                return line
        raise AssertionError("".join(self.lines))

    def ready(self) -> None:
        """Return when everything is."""
        self.read_until("Ctrl-C stops everything")

    def address(self, service: str, face: str) -> str:
        """What it printed as the address of a service."""
        printed = "".join(self.lines).split(f"  {service}_service\n")[1]
        found = re.search(rf"^ +{face} +(?:http://)?(\S+)", printed, re.MULTILINE)
        assert found is not None
        return found.group(1)

    def end(self, number: signal.Signals) -> int:
        """Signal it; its status, when it has ended."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return self.process.wait(60)


@pytest.fixture
def up(data_dir: Path) -> Iterator[Callable[..., Up]]:
    """Starts `wakepoint up` on the data directory; what still runs after the test is killed."""
    with ExitStack() as stack:

        def start(*arguments: str) -> Up:
            started = Up(data_dir, *arguments)
            stack.enter_context(started.process)
            stack.callback(started.process.kill)
            return started

        yield start


def ready(addresses: ServiceAddresses | str) -> bool:
    management = addresses if isinstance(addresses, str) else addresses.management
    return httpx.get(f"http://{management}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_everything_on_the_printed_addresses_and_ends_cleanly(
    up: Callable[..., Up], data_dir: Path, number: signal.Signals
) -> None:
    running = up()
    running.ready()
    assert ready(running.address("trigger", "management"))
    assert ready(running.address("runner", "management"))
    assert running.end(number) == 0
    assert "Stopped." in running.lines[-1]
    assert processes_of(data_dir) == []


def test_up_killed_leaves_nothing_and_starts_again(up: Callable[..., Up], data_dir: Path) -> None:
    first = up()
    first.ready()
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    eventually_sync(lambda: processes_of(data_dir) == [], timeout=60)
    second = up()
    second.ready()
    assert second.end(signal.SIGTERM) == 0


def test_a_second_up_on_the_same_data_says_so(up: Callable[..., Up], data_dir: Path) -> None:
    first = up()
    first.ready()
    second = up()
    assert str(data_dir) in second.read_until("already runs a Postgres server")
    assert second.process.wait(10) == 1
    assert ready(first.address("runner", "management"))
    first.end(signal.SIGTERM)


def test_a_taken_default_port_means_the_next_free_one_printed(up: Callable[..., Up]) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 8081))
            other.listen()
        except OSError:
            pass  # something else has it: just as well
        running = up()
        running.ready()
        address = running.address("trigger", "http")
        assert not address.endswith(":8081")
        assert "(not the default 8081)" in "".join(running.lines)
        assert httpx.get(f"http://{address}/nope", trust_env=False).status_code == 404
        running.end(signal.SIGTERM)


def test_a_dead_service_is_started_again_loudly_on_its_address(up: Callable[..., Up], data_dir: Path) -> None:
    running = up()
    running.ready()
    address = running.address("trigger", "grpc")
    process = next(p for p in psutil.Process(running.process.pid).children(recursive=True) if _is_service(p, "trigger"))
    process.kill()
    running.read_until("trigger_service has ended with status -9; starting it again")
    running.read_until("trigger_service is ready again")
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))):
        pass
    running.end(signal.SIGTERM)


def _is_service(process: psutil.Process, name: str) -> bool:
    return process.cmdline()[-2:] == ["-m", f"{name}_service"]


def test_a_stack_kills_and_starts_single_services_on_their_addresses(data_dir: Path) -> None:
    with Stack(data_dir, any_ports=True) as stack:
        before = dict(stack.addresses)
        for service in ("trigger", "runner"):
            pid = stack.pid(service)
            assert pid is not None
            stack.kill(service)
            assert not psutil.pid_exists(pid)
            assert stack.pid(service) is None
            stack.tend()
            assert stack.pid(service) is None, "what was killed on purpose stays down"
            stack.start_service(service)
            assert ready(stack.addresses[service])
        assert stack.addresses == before


def test_a_dead_postgres_is_started_again(data_dir: Path) -> None:
    told: list[str] = []
    with Stack(data_dir, any_ports=True, report=told.append) as stack:
        postgres = stack.postgres
        assert postgres is not None
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
        eventually_sync(lambda: not postgres.is_running)
        stack.tend()
        assert told == ["Postgres has ended; starting it again"]
        eventually_sync(lambda: ready(stack.addresses["trigger"]) and ready(stack.addresses["runner"]), timeout=30)


def test_a_service_that_dies_three_times_at_once_is_given_up(data_dir: Path) -> None:
    told: list[str] = []
    with Stack(data_dir, any_ports=True, report=told.append) as stack:
        for _ in range(2):
            _kill_behind_its_back(stack)
            stack.tend()
        _kill_behind_its_back(stack)
        with pytest.raises(ServiceFailed, match="trigger died 3 times in a row"):
            stack.tend()
        assert len([line for line in told if "has ended with status -9" in line]) == 3
    assert processes_of(data_dir) == []


def _kill_behind_its_back(stack: Stack) -> None:
    pid = stack.pid("trigger")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually_sync(lambda: stack.pid("trigger") is None)


def test_a_stack_that_cannot_start_leaves_nothing_running(data_dir: Path) -> None:
    with pytest.raises(ServiceFailed, match="RUNNER_LOG_LEVEL"):
        Stack(data_dir, any_ports=True, environment={"RUNNER_LOG_LEVEL": "nonsense"}).start()
    assert processes_of(data_dir) == []


def test_two_stacks_on_one_directory_are_refused(data_dir: Path) -> None:
    with Stack(data_dir, any_ports=True) as first:
        with pytest.raises(AlreadyRunning, match=str(data_dir)):
            Stack(data_dir, any_ports=True).start()
        assert ready(first.addresses["trigger"])
