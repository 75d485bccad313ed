"""Embedded Postgres and both services, as processes of this machine that end with this one."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from wakepoint.chassis.embedded import EmbeddedPostgres, default_data_dir
from wakepoint.cli.ports import ServiceAddresses, choose
from wakepoint.cli.service import ServiceFailed, ServiceProcess

Service = Literal["trigger", "runner"]
SERVICES: tuple[Service, ...] = ("runner", "trigger")

_READY_SECONDS = 60.0
_QUICK_SECONDS = 10.0
_QUICK_DEATHS = 3


class Stack:
    """Runs everything on one machine; synchronous, for one thread.

    `data_dir` (default: see `default_data_dir`) keeps Postgres's data, the key that signs webhook addresses, jobs, logs
    and the addresses taken.
    `nodes` is a Python file with node types of one's own, for the runner. `environment` goes to the services on top of
    this process's own. A service whose <NAME>_DATABASE_URL is set there uses that database; when both are, no Postgres
    is started. With `any_ports` the system chooses all ports; otherwise a default port that is taken means the next
    free one. `report` is told what happens, one line at a time.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        nodes: Path | None = None,
        environment: Mapping[str, str] | None = None,
        any_ports: bool = False,
        report: Callable[[str], object] = str,
    ) -> None:
        self.data_dir = (data_dir or default_data_dir()).absolute()
        self.addresses: dict[Service, ServiceAddresses] = {}
        self.postgres: EmbeddedPostgres | None = None
        self._environment = {**os.environ, **(environment or {})}
        if nodes is not None:
            self._environment["RUNNER_NODES"] = str(nodes.absolute())
        self._any_ports = any_ports
        self._report = report
        self._services: dict[Service, ServiceProcess] = {}
        self._wanted: set[Service] = set()
        self._quick_deaths: Counter[str] = Counter()

    def start(self) -> None:
        """Start Postgres, then both services, and wait until they are ready; `addresses` then has what they took.

        Raises EmbeddedError (AlreadyRunning: another stack uses the data directory), ServiceFailed, or OSError when no
        port is free; nothing is left running then.
        """
        try:
            databases = self._start_postgres()
            self._prepare_services(databases)
            with ThreadPoolExecutor(len(SERVICES)) as together:
                for service, addresses in zip(SERVICES, together.map(self._launch, SERVICES), strict=True):
                    self.addresses[service] = addresses
        except BaseException:
            self.stop()
            raise

    def kill(self, service: Service) -> None:
        """Kill -9 the service; it stays down until `start_service`."""
        self._wanted.discard(service)
        self._services[service].kill()

    def start_service(self, service: Service) -> None:
        """Start a service that was killed, on its former addresses, and wait until it is ready; else ServiceFailed."""
        self.addresses[service] = self._launch(service)

    def pid(self, service: Service) -> int | None:
        """The process id of a running service."""
        return self._services[service].pid

    def log(self, service: Service) -> Path:
        """The file with the service's output."""
        return self._services[service].log

    def tend(self) -> None:
        """One look at everything: what has died on its own is reported and started again.

        Call it regularly. Raises ServiceFailed when something has died three times in a row within seconds.
        """
        if self.postgres is not None and not self.postgres.is_running:
            self._report("Postgres has ended; starting it again")
            self._count_death("Postgres", quick=False)
            self.postgres.start()
        for service in SERVICES:
            process = self._services[service]
            if service in self._wanted and process.exit_code is not None:
                self._revive(service, process)

    def stop(self) -> None:
        """Stop the services, then Postgres, each cleanly. What is not running is left alone."""
        self._wanted.clear()
        for process in self._services.values():
            process.begin_stop()
        for process in self._services.values():
            process.finish_stop()
        if self.postgres is not None:
            self.postgres.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_postgres(self) -> dict[Service, str]:
        told = {service: self._environment.get(f"{service.upper()}_DATABASE_URL", "") for service in SERVICES}
        if all(told.values()):
            self.data_dir.mkdir(parents=True, exist_ok=True)
            return told
        self.postgres = EmbeddedPostgres(self.data_dir / "postgres")
        self.postgres.start()
        return {service: dsn or self.postgres.create_database(service) for service, dsn in told.items()}

    def _prepare_services(self, databases: Mapping[Service, str]) -> None:
        chosen = choose(self._environment, any_ports=self._any_ports)
        defaults = {
            "TRIGGER_RUNNER_ADDRESS": chosen["runner"].grpc,
            "RUNNER_TRIGGER_ADDRESS": chosen["trigger"].grpc,
            "RUNNER_WEBHOOK_KEY": kept_secret(self.data_dir / "webhook-key"),
            "RUNNER_JOBS_DIR": str(self.data_dir / "jobs"),
            # For jobs, which report to the services through `wakepoint.client`.
            "WAKEPOINT_TRIGGER_ADDRESS": chosen["trigger"].grpc,
            "WAKEPOINT_RUNNER_ADDRESS": chosen["runner"].grpc,
        }
        for service in SERVICES:
            prefix, addresses = service.upper(), chosen[service]
            environment = {
                **defaults,
                **self._environment,
                f"{prefix}_DATABASE_URL": databases[service],
                f"{prefix}_GRPC_ADDRESS": addresses.grpc,
                f"{prefix}_HTTP_ADDRESS": addresses.http,
                f"{prefix}_MANAGEMENT_ADDRESS": addresses.management,
            }
            self._services[service] = ServiceProcess(service, environment, self.data_dir)

    def _launch(self, service: Service) -> ServiceAddresses:
        self._wanted.add(service)
        return self._services[service].start(_READY_SECONDS)

    def _revive(self, service: Service, process: ServiceProcess) -> None:
        quick = time.monotonic() - process.started < _QUICK_SECONDS
        self._report(
            f"{service}_service has ended with status {process.exit_code}; starting it again. {process.log} ends:\n"
            f"{process.last_words()}"
        )
        self._count_death(service, quick=quick)
        try:
            self.addresses[service] = process.start(_READY_SECONDS)
        except ServiceFailed as error:
            if (
                process.pid is not None
            ):  # it runs but is not ready, perhaps for want of its database: that may come back
                self._report(str(error))
            return
        self._report(f"{service}_service is ready again")

    def _count_death(self, name: str, *, quick: bool) -> None:
        self._quick_deaths[name] = self._quick_deaths[name] + 1 if quick else 1
        if self._quick_deaths[name] >= _QUICK_DEATHS:
            raise ServiceFailed(
                f"{name} died {_QUICK_DEATHS} times in a row, each within {_QUICK_SECONDS:.0f} s; giving up"
            )


def kept_secret(path: Path) -> str:
    """The random secret in `path`, made on first use, readable by this user only: what it signed stays valid."""
    if not path.exists():
        building = path.with_suffix(".new")
        building.touch(mode=0o600)
        building.write_text(secrets.token_urlsafe(32))
        building.replace(path)
    return path.read_text()
