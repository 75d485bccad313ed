from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner_service.nodes.registry import NodeRegistry
from tests.integration.runner.rpc.harness import Service, serving
from tests.support.runner import Runner, runner_on
from wakepoint.chassis.clock import ManualClock, SystemClock
from wakepoint.chassis.database import Database


@pytest.fixture(scope="session")
def registry() -> NodeRegistry:
    """The built-in node types."""
    return NodeRegistry.load()


@pytest.fixture
async def service(runner_db: Database, registry: NodeRegistry, manual_clock: ManualClock) -> AsyncIterator[Service]:
    """The service alone: runs stay as they are started."""
    async with serving(runner_db, manual_clock, registry) as running:
        yield running


@pytest.fixture
async def runner(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Runner]:
    """A replica that executes runs."""
    async with runner_on(runner_db, runner_dsn, tmp_path) as running:
        yield running


@pytest.fixture
async def live(runner: Runner) -> AsyncIterator[Service]:
    """The service on a replica that executes runs."""
    async with serving(runner.database, SystemClock(), runner.registry, hub=runner.hub) as running:
        yield running
