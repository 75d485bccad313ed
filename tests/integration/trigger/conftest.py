from collections.abc import AsyncIterator

import pytest

from tests.integration.trigger.harness import Harness, serving
from tests.integration.trigger.peer import Peer, serving_peer
from wakepoint.chassis.database import Database


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving_peer() as the_peer:
        yield the_peer


@pytest.fixture
async def service(trigger_db: Database, peer: Peer) -> AsyncIterator[Harness]:
    async with serving(trigger_db, peer) as the_service:
        yield the_service
