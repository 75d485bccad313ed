"""Where a service listens: refusing what is not safe, taking the ports, and telling which they became."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.settings import ServiceSettings, split_address

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses really taken, each `host:port`."""

    grpc: str
    http: str
    management: str

    def write(self, path: Path) -> None:
        """Write them and this process's id to `path` as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_name(f".{path.name}.{os.getpid()}")
        building.write_text(json.dumps({**asdict(self), "pid": os.getpid()}) + "\n")
        building.replace(path)


def require_loopback(settings: ServiceSettings) -> None:
    """Without authentication only this machine may reach a service, unless the operator says otherwise.

    Raises InvalidArgument naming every setting that binds to another address; with ALLOW_INSECURE it warns instead.
    """
    prefix = str(settings.model_config.get("env_prefix", ""))
    named = {name: getattr(settings, name) for name in ("grpc_address", "http_address", "management_address")}
    others = {f"{prefix}{name.upper()}": address for name, address in named.items() if not _is_loopback(address)}
    if not others:
        return
    if not settings.allow_insecure:
        text = f"is not a loopback address, and there is no authentication; {prefix}ALLOW_INSECURE=true allows it"
        raise InvalidArgument.from_violations(
            (FieldViolation(name, f"{address} {text}") for name, address in others.items()), reason="INVALID_SETTINGS"
        )
    _log.warning(
        "INSECURE: listening without authentication; whoever reaches these addresses controls this service", **others
    )


def _is_loopback(address: str) -> bool:
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may resolve to anything
        return False


def join_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(address: str, *, reuse_port: bool) -> socket.socket:
    """A bound TCP socket for the HTTP servers. Raises OSError naming the address when it cannot be taken."""
    host, port = split_address(address)
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(target)
        listening.listen(128)  # now, so that another process finds the port taken
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    return listening


def taken(listening: socket.socket) -> str:
    """The address of a bound socket."""
    host, port = listening.getsockname()[:2]
    return join_address(str(host), int(port))
