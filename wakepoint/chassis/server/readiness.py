"""Whether the service can do its work now. Liveness is something else: a database outage must restart nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

import structlog

_CHECK_SECONDS = 2.0

_log = structlog.stdlib.get_logger(__name__)


class Phase(Enum):
    """Where a service is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Readiness:
    """The phase, and checks that raise while something that the service needs is away."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._failing: frozenset[str] = frozenset()

    def add(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        """`check` raises when not ready; it has two seconds."""
        self._checks[name] = check

    async def problems(self) -> dict[str, str]:
        """What keeps the service from being ready: the phase, or each failed check by name; empty when it is ready.

        The texts name the kind of error only: the management port is open to more eyes than the log.
        """
        if self.phase is not Phase.SERVING:
            return {"phase": self.phase.value}
        results = await asyncio.gather(*map(self._problem, self._checks))
        found = {name: text for name, text in zip(self._checks, results, strict=True) if text}
        self._log_changes(found)
        return found

    async def _problem(self, name: str) -> str:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._checks[name]()
        except Exception as error:  # noqa: BLE001 - whatever a check raises, it is not ready
            return type(error).__name__
        return ""

    def _log_changes(self, found: dict[str, str]) -> None:
        failing = frozenset(found)
        for name in failing - self._failing:
            _log.warning("not ready", check=name, error=found[name])
        for name in self._failing - failing:
            _log.info("ready again", check=name)
        self._failing = failing
