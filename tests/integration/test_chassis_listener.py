import asyncio
import random
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import structlog
from structlog.typing import EventDict

from tests.support.conditions import eventually
from tests.support.proxy import Proxy, proxied
from wakepoint.chassis.clock import ManualClock
from wakepoint.chassis.listener import Listener


class Heard:
    """What a listener told, in order."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def connected(self) -> None:
        self.all.append("connected")

    def wake(self, payload: str) -> None:
        if payload == "bad":
            raise LookupError(payload)
        self.all.append(payload)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def sender(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(empty_dsn: str) -> AsyncIterator[Proxy]:
    async with proxied(empty_dsn) as made:
        yield made


@pytest.fixture
async def listener(proxy: Proxy, heard: Heard, manual_clock: ManualClock) -> AsyncIterator[Listener]:
    made = Listener(
        proxy.dsn, {"wake": heard.wake, "other": heard.wake}, heard.connected, clock=manual_clock, rng=random.Random(1)
    )
    running = asyncio.create_task(made.run())
    await eventually(lambda: made.connected)
    yield made
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert not made.connected


async def _notify(sender: asyncpg.Connection, payload: str, channel: str = "wake") -> None:
    await sender.execute("select pg_notify($1, $2)", channel, payload)


async def test_notifications_of_every_channel_arrive_in_order_after_the_connect(
    listener: Listener, heard: Heard, sender: asyncpg.Connection
) -> None:
    await _notify(sender, "a")
    await _notify(sender, "b", channel="other")
    await _notify(sender, "unheard", channel="third")
    await _notify(sender, "c")
    await eventually(lambda: heard.all == ["connected", "a", "b", "c"])


async def test_after_a_lost_connection_everything_is_polled_again_and_listening_goes_on(
    listener: Listener, heard: Heard, sender: asyncpg.Connection, manual_clock: ManualClock
) -> None:
    await sender.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'wakepoint-listener'"
    )
    await eventually(lambda: not listener.connected)
    await _notify(sender, "missed")
    await _until_connected(listener, manual_clock)
    await _notify(sender, "a")
    await eventually(lambda: heard.all == ["connected", "connected", "a"])


async def test_it_keeps_trying_while_the_server_is_away(
    listener: Listener, heard: Heard, proxy: Proxy, manual_clock: ManualClock, sender: asyncpg.Connection
) -> None:
    with structlog.testing.capture_logs() as logs:
        proxy.cut()
        await eventually(lambda: not listener.connected)
        await eventually(lambda: _moved(manual_clock, lambda: _failures(logs) >= 3))
        proxy.mend()
        await _until_connected(listener, manual_clock)
    assert heard.all == ["connected", "connected"]


async def test_a_silent_network_is_noticed_by_the_keepalive(
    listener: Listener, proxy: Proxy, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wakepoint.chassis.listener._ANSWER_SECONDS", 0.05)
    proxy.freeze()
    await manual_clock.advance(14)
    assert listener.connected
    await manual_clock.advance(1)
    await eventually(lambda: not listener.connected)
    proxy.mend()
    await _until_connected(listener, manual_clock)


async def test_a_quiet_connection_is_kept(
    listener: Listener, heard: Heard, manual_clock: ManualClock, proxy: Proxy, sender: asyncpg.Connection
) -> None:
    asked = "select count(*) from pg_stat_activity where application_name = 'wakepoint-listener' and query = 'select 1'"
    await manual_clock.advance(15)
    await eventually(lambda: sender.fetchval(asked))
    await eventually(lambda: manual_clock.waiting)
    assert (proxy.connections, heard.all) == (1, ["connected"])


async def test_a_callback_that_fails_is_logged_and_the_next_one_is_called(
    listener: Listener, heard: Heard, sender: asyncpg.Connection
) -> None:
    with structlog.testing.capture_logs() as logs:
        await _notify(sender, "bad")
        await _notify(sender, "good")
        await eventually(lambda: heard.all == ["connected", "good"])
    assert [(entry["event"], entry["callback"]) for entry in logs] == [("listener callback failed", "wake")]


def _failures(logs: list[EventDict]) -> int:
    return sum(entry["event"] == "listener cannot connect" for entry in logs)


async def _moved(clock: ManualClock, done: Callable[[], bool]) -> bool:
    await clock.advance(5)
    return done()


async def _until_connected(listener: Listener, clock: ManualClock) -> None:
    await eventually(lambda: _moved(clock, lambda: listener.connected))
