"""Which addresses the services of a stack get."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FACES: Final = ("grpc", "http", "management")
DEFAULTS: Final[Mapping[str, Mapping[str, int]]] = {
    "trigger": {"grpc": 50051, "http": 8081, "management": 9081},
    "runner": {"grpc": 50052, "http": 8082, "management": 9082},
}
_TRIES = 200


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Where one service listens, each `host:port`."""

    grpc: str
    http: str
    management: str


def choose(settings: Mapping[str, str], *, any_ports: bool) -> dict[str, ServiceAddresses]:
    """Addresses for both services: what `settings` says (TRIGGER_GRPC_ADDRESS ...), else the default port of 127.0.0.1.

    A default port that is taken means the next one that is free and not another default; with `any_ports` the system
    chooses. Raises OSError when none is free.
    """
    used = {port for ports in DEFAULTS.values() for port in ports.values()}
    chosen: dict[str, ServiceAddresses] = {}
    for service, ports in DEFAULTS.items():
        addresses = {}
        for face in FACES:
            told = settings.get(f"{service.upper()}_{face.upper()}_ADDRESS")
            if not told:
                port = _unused(0 if any_ports else ports[face], used)
                used.add(port)
                told = f"127.0.0.1:{port}"
            addresses[face] = told
        chosen[service] = ServiceAddresses(**addresses)
    return chosen


def _unused(wanted: int, used: set[int]) -> int:
    """`wanted` if it is free, else the next free one outside `used`; for 0 one that the system chooses."""
    for port in range(wanted, wanted + _TRIES):
        if port != wanted and port in used:
            continue
        found = _probe(port if wanted else 0)
        if found and (wanted or found not in used):
            return found
    raise OSError(f"found no free port on 127.0.0.1 from {wanted} to {wanted + _TRIES - 1}")


def _probe(port: int) -> int:
    """The port that could be bound, or 0. The services bind it themselves, a moment later."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return 0
        return int(probe.getsockname()[1])
