"""A database of the test's own, whose runs are all checked at its end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.runner import Runner, runner_on
from tests.support.runner_checks import check_runs
from wakepoint.chassis.database import Database

Replicas: TypeAlias = Callable[..., AbstractAsyncContextManager[Runner]]


@pytest.fixture
async def replica(runner_db: Database, runner_dsn: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    """`async with replica(nodes=[...], clock=..., <setting>=...) as runner`, several times for several replicas."""

    def start(**options: Any) -> AbstractAsyncContextManager[Runner]:
        return runner_on(runner_db, runner_dsn, tmp_path, **options)

    yield start
    await check_runs(runner_db)
