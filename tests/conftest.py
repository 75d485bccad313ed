"""Fixtures that every test may ask for. What stands behind them is in tests/support."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import Postgres, database_of, run_apart
from tests.support.server import embedded_server
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.database import Database
from wakepoint.chassis.migrations import migrate

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("wakepoint", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wakepoint")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server: embedded, or the one of WAKEPOINT_TEST_DSN (a user who may create databases)."""
    if external := os.environ.get("WAKEPOINT_TEST_DSN"):
        yield Postgres(external)
        return
    with embedded_server() as server:
        yield server


@pytest.fixture(scope="session")
def trigger_template(postgres: Postgres) -> Iterator[str]:
    """The name of a database with trigger_service's schema, for copying only."""
    with postgres.database() as dsn:
        run_apart(migrate(dsn, schema="trigger", package="trigger_service.storage.migrations", mode="auto"))
        yield database_of(dsn)


@pytest.fixture(scope="session")
def runner_template(postgres: Postgres) -> Iterator[str]:
    """The name of a database with runner_service's schema, for copying only."""
    with postgres.database() as dsn:
        run_apart(migrate(dsn, schema="runner", package="runner_service.storage.migrations", mode="auto"))
        yield database_of(dsn)


@pytest.fixture
def trigger_dsn(postgres: Postgres, trigger_template: str) -> Iterator[str]:
    """A database of this test alone, with trigger_service's schema."""
    with postgres.database(trigger_template) as dsn:
        yield dsn


@pytest.fixture
def runner_dsn(postgres: Postgres, runner_template: str) -> Iterator[str]:
    """A database of this test alone, with runner_service's schema."""
    with postgres.database(runner_template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(postgres: Postgres) -> Iterator[str]:
    """A database of this test alone, with nothing in it."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture
async def trigger_db(trigger_dsn: str) -> AsyncIterator[Database]:
    """An open pool on `trigger_dsn`."""
    database = await Database.open(trigger_dsn, application_name="test")
    yield database
    await database.close()


@pytest.fixture
async def runner_db(runner_dsn: str) -> AsyncIterator[Database]:
    """An open pool on `runner_dsn`."""
    database = await Database.open(runner_dsn, application_name="test")
    yield database
    await database.close()


@pytest.fixture
def manual_clock() -> ManualClock:
    """Time that only the test moves."""
    return ManualClock()
