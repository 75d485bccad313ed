"""One service of a stack: a guarded process, its log, and whether it is ready."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from wakepoint.chassis.embedded import EmbeddedError, Guarded, Stop
from wakepoint.cli.ports import ServiceAddresses

_POLL_SECONDS = 0.02
_STOPS = (Stop(signal.SIGTERM, 35.0),)
_STOP_SECONDS = 45.0
_SHOWN_LINES = 20
_LOG_LIMIT_BYTES = 16 * 2**20


class ServiceFailed(Exception):
    """A service of the stack ended, or did not become ready. The message has the end of its log."""


class ServiceProcess:
    """`python -m <name>_service`, started and killed as often as wanted, always with the same settings.

    `environment` is the whole environment of the process. Its output is appended to `log`.
    """

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._told = folder / f"{name}.addresses.json"
        self._environment = {
            **environment,
            "PYTHONPATH": python_path(f"{name}_service", environment.get("PYTHONPATH", "")),
            f"{name.upper()}_ADDRESS_FILE": str(self._told),
        }
        self._process: Guarded | None = None
        self._logged_before = 0
        self.started = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """Its exit status once it has ended, negative for a signal."""
        return self._process.exit_code if self._process is not None else None

    def start(self, timeout: float) -> ServiceAddresses:
        """Start it and wait until it is ready; the addresses that it really took. Raises ServiceFailed."""
        self._told.unlink(missing_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._logged_before = self.log.stat().st_size if self.log.exists() else 0
        self.started = time.monotonic()
        try:
            self._process = Guarded.start(
                [sys.executable, "-P", "-m", f"{self.name}_service"],
                stops=_STOPS,
                env=self._environment,
                output=self.log,
            )
        except EmbeddedError as error:
            raise ServiceFailed(str(error)) from error
        return self._wait_ready(self.started + timeout)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_STOP_SECONDS)

    def begin_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self._process is not None:
            self._process.begin_stop()

    def finish_stop(self) -> None:
        """Wait for the end that `begin_stop` began."""
        if self._process is not None:
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def last_words(self) -> str:
        """The end of what it has logged since it was started last."""
        try:
            with self.log.open(errors="replace") as file:
                file.seek(self._logged_before)
                lines = file.read().splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_SHOWN_LINES:])

    def _wait_ready(self, deadline: float) -> ServiceAddresses:
        assert self._process is not None
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            while self._process.exit_code is None:
                taken = self._taken()
                if taken is not None and _ready(client, taken.management):
                    return taken
                if time.monotonic() > deadline:
                    raise ServiceFailed(
                        f"{self.name}_service did not become ready; {self.log} ends:\n{self.last_words()}"
                    )
                time.sleep(_POLL_SECONDS)
        code = self._process.exit_code
        raise ServiceFailed(f"{self.name}_service ended with status {code}; {self.log} ends:\n{self.last_words()}")

    def _taken(self) -> ServiceAddresses | None:
        try:
            told = json.loads(self._told.read_text())
        except FileNotFoundError:
            return None
        return ServiceAddresses(told["grpc"], told["http"], told["management"])


def _ready(client: httpx.Client, management: str) -> bool:
    try:
        return client.get(f"http://{management}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def python_path(package: str, told: str) -> str:
    """PYTHONPATH with which the process finds the service as this one does, in a checkout that is not installed too."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceFailed(f"the package {package} is not installed beside wakepoint")
    return os.pathsep.join(filter(None, [str(Path(spec.submodule_search_locations[0]).parent), told]))
