from collections.abc import AsyncIterator

import pytest

from runner_service.nodes.registry import NodeRegistry
from tests.integration.rest.sides import RunnerSides, TriggerSides, runner_sides, trigger_sides
from tests.integration.trigger.peer import serving_peer
from wakepoint.chassis.database import Database


@pytest.fixture
async def trigger(trigger_db: Database) -> AsyncIterator[TriggerSides]:
    """trigger_service, by both ways."""
    async with serving_peer() as peer, trigger_sides(trigger_db, peer) as sides:
        yield sides


@pytest.fixture(scope="session")
def registry() -> NodeRegistry:
    """The built-in node types."""
    return NodeRegistry.load()


@pytest.fixture
async def runner(runner_db: Database, registry: NodeRegistry) -> AsyncIterator[RunnerSides]:
    """runner_service, by both ways; runs stay as they are started."""
    async with runner_sides(runner_db, registry) as sides:
        yield sides
