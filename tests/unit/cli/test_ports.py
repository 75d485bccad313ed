"""Which addresses the services of a stack get."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from wakepoint.cli import ports


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """Default ports that are free on this machine just now, next to each other as the real ones are."""
    with ExitStack() as stack:
        for base in range(20_000, 60_000, 50):
            try:
                for port in range(base, base + 12):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                stack.close()
                continue
            break
    free = {
        "trigger": {"grpc": base, "http": base + 4, "management": base + 8},
        "runner": {"grpc": base + 1, "http": base + 5, "management": base + 9},
    }
    monkeypatch.setattr(ports, "DEFAULTS", free)
    return free


@pytest.fixture
def taken() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def take(stack: ExitStack, port: int) -> None:
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", port))
    listening.listen()


def test_free_default_ports_are_taken(defaults: dict[str, dict[str, int]]) -> None:
    chosen = ports.choose({}, any_ports=False)
    assert chosen["trigger"].grpc == f"127.0.0.1:{defaults['trigger']['grpc']}"
    assert chosen["runner"].management == f"127.0.0.1:{defaults['runner']['management']}"


def test_a_taken_default_port_means_the_next_free_one_that_is_no_default(
    defaults: dict[str, dict[str, int]], taken: ExitStack
) -> None:
    first = defaults["trigger"]["grpc"]
    take(taken, first)
    take(taken, first + 2)
    chosen = ports.choose({}, any_ports=False)
    assert chosen["trigger"].grpc == f"127.0.0.1:{first + 3}"
    assert chosen["runner"].grpc == f"127.0.0.1:{first + 1}"


def test_what_is_set_is_left_alone(defaults: dict[str, dict[str, int]]) -> None:
    chosen = ports.choose({"RUNNER_HTTP_ADDRESS": "10.0.0.1:80", "TRIGGER_GRPC_ADDRESS": ""}, any_ports=False)
    assert chosen["runner"].http == "10.0.0.1:80"
    assert chosen["trigger"].grpc == f"127.0.0.1:{defaults['trigger']['grpc']}"


def test_any_ports_are_six_different_ones() -> None:
    chosen = ports.choose({}, any_ports=True)
    found = {getattr(addresses, face) for addresses in chosen.values() for face in ports.FACES}
    assert len(found) == 6
    assert not any(address.endswith(":0") for address in found)
