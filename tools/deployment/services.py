"""What the code says about the services: their commands, the settings that they read, the paths that they serve."""

import contextlib
import importlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.routing import Route
from structlog.testing import capture_logs

from wakepoint.chassis.errors import InvalidArgument
from wakepoint.chassis.metrics import Metrics
from wakepoint.chassis.server.addresses import require_loopback
from wakepoint.chassis.server.readiness import Readiness
from wakepoint.chassis.server.web import management_app
from wakepoint.chassis.settings import ServiceSettings, split_address
from wakepoint.client.channels import TRIGGER_ADDRESS_VARIABLE

PORTS = ("grpc", "http", "management")


@dataclass(frozen=True, slots=True)
class Service:
    """One service: `command` starts it, `settings` is what it reads from the environment."""

    command: str
    settings: type[ServiceSettings]

    def variables(self) -> set[str]:
        """Every environment variable that it reads, or hands on to the jobs that it starts."""
        prefix = self.settings.model_config.get("env_prefix", "")
        own = {f"{prefix}{name}".upper() for name in self.settings.model_fields}
        return own | ({TRIGGER_ADDRESS_VARIABLE} if "trigger_address" in self.settings.model_fields else set())

    def default_ports(self) -> dict[str, int]:
        """The port of each of its addresses when nobody sets one."""
        fields = self.settings.model_fields
        return {name: split_address(fields[f"{name}_address"].default)[1] for name in PORTS}


def project(root: Path) -> tuple[str, dict[str, Service]]:
    """The project's version, and its services by command, from pyproject.toml: each has a `settings` module."""
    metadata = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    packages = {command: target.split(".")[0] for command, target in metadata["scripts"].items()}
    services = {
        command: Service(command, _settings_of(package))
        for command, package in packages.items()
        if package.endswith("_service")
    }
    return metadata["version"], services


def _settings_of(package: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{package}.settings")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value is not ServiceSettings
    )
    return found


def served_paths() -> set[str]:
    """What the management port answers, asked of the application itself."""
    return {route.path for route in management_app(Readiness(), Metrics()).routes if isinstance(route, Route)}


def unknown(service: Service, environment: Mapping[str, str]) -> Iterator[str]:
    """The variables that nothing reads: a misspelt setting is one that never takes effect.

    One for jobs must say what the service's own says, or they would report to somebody else.
    """
    if environment.get(TRIGGER_ADDRESS_VARIABLE) != environment.get("RUNNER_TRIGGER_ADDRESS"):
        yield f"{TRIGGER_ADDRESS_VARIABLE} and RUNNER_TRIGGER_ADDRESS differ"
    for name in sorted(environment.keys() - service.variables()):
        yield f"{name} is no setting of {service.command}"


@contextlib.contextmanager
def _only(environment: Mapping[str, str]) -> Iterator[None]:
    """This environment and no other: what the developer's shell has set must not hide what a manifest forgot."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def load(service: Service, environment: Mapping[str, str]) -> ServiceSettings:
    """The settings in exactly this environment. InvalidArgument for what the service would not start with."""
    with _only(environment), capture_logs():
        settings = service.settings.load()
        require_loopback(settings)
    return settings


def refused(service: Service, environment: Mapping[str, str]) -> Iterator[str]:
    """What the service itself says against this environment."""
    try:
        load(service, environment)
    except InvalidArgument as error:
        for violation in error.violations:
            yield f"{violation.field}: {violation.description}"


def ports_of(settings: ServiceSettings) -> dict[str, int]:
    """The port of each of its addresses."""
    return {name: split_address(getattr(settings, f"{name}_address"))[1] for name in PORTS}


def hosts_of(settings: ServiceSettings) -> set[str]:
    """Where it listens."""
    return {split_address(getattr(settings, f"{name}_address"))[0] for name in PORTS}


def peer_of(settings: ServiceSettings) -> tuple[str, int]:
    """Where it looks for the other service."""
    (name,) = {"trigger_address", "runner_address"} & type(settings).model_fields.keys()
    return split_address(getattr(settings, name))
