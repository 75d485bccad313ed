"""Starting and stopping the embedded server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from wakepoint.chassis.embedded import cluster
from wakepoint.chassis.embedded.account import Account, server_account
from wakepoint.chassis.embedded.guarded import Guarded, Stop
from wakepoint.chassis.embedded.location import prepare_data_dir, server_programs
from wakepoint.chassis.embedded.lock import acquire
from wakepoint.chassis.embedded.problems import EmbeddedError

# "Fast" ends sessions and writes a checkpoint. It can hang when it comes during a recovery; "immediate" then means
# another recovery, and loses nothing.
_STOPS = (Stop(signal.SIGINT, 15.0), Stop(signal.SIGQUIT, 5.0))
_PORT_TRIES = 5
_POLL_SECONDS = 0.01
_LOG_LIMIT_BYTES = 16 * 2**20


class EmbeddedPostgres:
    """One Postgres server on one data directory, listening on a loopback port behind a password.

    `data_dir` is kept between starts; it holds `pgdata`, `password` (mode 0600), `port` (the same again where
    possible), `postgres.log` and `lock`. As root the server runs as another user. It ends with this process, however
    this process ends. `settings` overrides server settings, for instance {"fsync": "off"} for tests. Synchronous, for
    one thread.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = dict(settings or {})
        self._server: Guarded | None = None
        self._programs: Path | None = None
        self._port = 0

    def start(self, timeout: float = 120.0) -> str:
        """Start (creating the data on the first time, recovering after a crash) and wait until it takes connections.

        Returns the DSN of the database `postgres`; of a server already started here as well. `timeout` in seconds.
        Raises AlreadyRunning when another process runs a server on this directory, EmbeddedError when it cannot start.
        """
        if self.is_running:
            return self.dsn
        try:
            account = server_account(self._pgdata)
            prepare_data_dir(self.data_dir, account)
            lock = acquire(self.data_dir, self._pgdata / "postmaster.pid")
            try:
                self._start_locked(account, lock, timeout)
            finally:
                os.close(lock)  # from here on the server's processes hold it
        except PermissionError as error:
            raise EmbeddedError(f"no permission on {error.filename} of the data directory {self.data_dir}") from error
        return self.dsn

    def stop(self) -> None:
        """Stop cleanly: end sessions, write a checkpoint. Nothing happens when it does not run."""
        if self._server is not None:
            self._server.stop(timeout=60.0)
            self._server = None

    @property
    def is_running(self) -> bool:
        """Whether the server that this object started still runs."""
        return self._server is not None and self._server.exit_code is None

    @property
    def pid(self) -> int | None:
        """Process id of the running server (the postmaster)."""
        return self._server.pid if self._server is not None and self._server.exit_code is None else None

    @property
    def dsn(self) -> str:
        """Connection string of the database `postgres`, with the password."""
        return self.database_dsn("postgres")

    def database_dsn(self, name: str) -> str:
        """Connection string of the database `name`. Raises EmbeddedError before the first start."""
        if not self._port:
            raise EmbeddedError("the server has not been started")
        return self._dsn_on(self._port, name)

    def last_dsn(self, name: str) -> str:
        """Connection string of the database `name` as of the last start on this directory, whichever process made it;
        whether it still runs, connecting tells. Raises EmbeddedError when there was none.
        """
        try:
            port = int((self.data_dir / "port").read_text())
            return self._dsn_on(port, name)
        except (OSError, ValueError) as error:
            raise EmbeddedError(f"no Postgres was ever started on {self.data_dir}") from error

    def _dsn_on(self, port: int, name: str) -> str:
        password = quote(cluster.read_password(self.data_dir), safe="")
        return f"postgresql://{cluster.USER}:{password}@127.0.0.1:{port}/{quote(name, safe='')}"

    def create_database(self, name: str) -> str:
        """Create the database `name` unless it exists; its connection string."""
        if self._programs is None:
            raise EmbeddedError("the server has not been started")
        argv = [str(self._programs / "createdb"), "-h", "127.0.0.1", "-p", str(self._port), "-U", cluster.USER]
        done = subprocess.run(
            [*argv, "--no-password", "--", name],
            env={"PGPASSWORD": cluster.read_password(self.data_dir), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 and "already exists" not in done.stderr:
            raise EmbeddedError(f"cannot create the database {name}: {done.stderr.strip()}")
        return self.database_dsn(name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _pgdata(self) -> Path:
        return self.data_dir / "pgdata"

    @property
    def _log(self) -> Path:
        return self.data_dir / "postgres.log"

    def _start_locked(self, account: Account | None, lock: int, timeout: float) -> None:
        self._programs = server_programs(self.data_dir, account)
        if not self._pgdata.exists():
            cluster.create_cluster(self._programs, self.data_dir, account, lock)
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._log.touch(mode=0o600)
        for port in self._ports():
            logged = self._log.stat().st_size
            if self._try_port(port, account, lock, timeout):
                (self.data_dir / "port").write_text(f"{port}\n")
                self._port = port
                return
            words = self._log.read_text(errors="replace")[logged:].strip()
            if "could not create any TCP/IP sockets" not in words:
                raise EmbeddedError(f"Postgres on {self.data_dir} ended while starting; it said:\n{words}")
        raise EmbeddedError(f"found no free port on 127.0.0.1 for Postgres after {_PORT_TRIES} tries")

    def _ports(self) -> list[int]:
        """The last start's port first, so that connection strings stay true; then free ones."""
        try:
            last = [int((self.data_dir / "port").read_text())]
        except (FileNotFoundError, ValueError):
            last = []
        return last + [_free_port() for _ in range(_PORT_TRIES)]

    def _try_port(self, port: int, account: Account | None, lock: int, timeout: float) -> bool:
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        if (stale := cluster.stale_owner(self._pgdata)) is not None:
            # The server calls a pid file stale when it names an ancestor. So the unrelated process that now has the pid
            # is declared one, and all the server's other checks of the crashed one's remains stay in force.
            environment["PG_GRANDPARENT_PID"] = str(stale)
        began = int(time.time())
        server = Guarded.start(
            cluster.server_argv(self._programs or Path(), self._pgdata, port, self._settings),
            stops=_STOPS,
            env=environment,
            output=self._log,
            account=account,
            keep_open=(lock,),
        )
        if not self._wait_ready(server, began, timeout):
            return False
        self._server = server
        return True

    def _wait_ready(self, server: Guarded, began: int, timeout: float) -> bool:
        """Whether it came up; False when it ended. The pid file is believed only about our own child, just started."""
        deadline = time.monotonic() + timeout
        while server.exit_code is None:
            found = cluster.read_pid_file(self._pgdata / "postmaster.pid")
            if found is not None and found.pid == server.pid and found.started >= began and found.status == "ready":
                return True
            if time.monotonic() > deadline:
                server.stop(timeout=60.0)
                raise EmbeddedError(f"Postgres on {self.data_dir} was not ready after {timeout:g} s; see {self._log}")
            time.sleep(_POLL_SECONDS)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
