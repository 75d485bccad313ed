"""The boundary to asyncpg: how a connection is made, and what its errors mean to everybody else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from wakepoint.chassis.errors import (
    Aborted,
    InvalidArgument,
    ResourceExhausted,
    TransactionConflict,
    Unavailable,
    WakepointError,
)

CONNECT_TIMEOUT_SECONDS = 10.0

# Startup parameters. Times leave the server in UTC. Compiling a plan costs more than any statement here runs.
_SETTINGS = {"timezone": "UTC", "jit": "off"}
# A process that is frozen inside a transaction (no other I/O happens there) must not hold run rows for ever: a dead
# replica's runs go on elsewhere within 15 s.
_SETTINGS_IN_TRANSACTION = {"idle_in_transaction_session_timeout": "10s"}

_CONNECTION_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "53300", "25006"})
_CACHED_PLAN_ERRORS = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)


AnyConnection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


@dataclass(frozen=True, slots=True)
class Target:
    """A DSN as asyncpg takes it. `pooled`: behind pgbouncer, so no prepared statements and no odd startup settings."""

    dsn: str
    pooled: bool

    @classmethod
    def parse(cls, dsn: str) -> Target:
        """Take `statement_cache_size=0` out of the DSN's query: asyncpg would send it to the server as a setting."""
        base, _, query = dsn.partition("?")
        kept = [pair for pair in query.split("&") if pair and not pair.startswith("statement_cache_size=")]
        pooled = "statement_cache_size=0" in query.split("&")
        return cls("?".join(filter(None, [base, "&".join(kept)])), pooled)

    def server_settings(self, application_name: str) -> dict[str, str]:
        """Startup parameters; behind pgbouncer only those that it lets through."""
        if self.pooled:
            return {"application_name": application_name, "timezone": "UTC"}
        return {"application_name": application_name, **_SETTINGS, **_SETTINGS_IN_TRANSACTION}

    @property
    def statement_cache_size(self) -> int:
        """How many prepared statements a connection keeps."""
        return 0 if self.pooled else 200


class CheckedConnection(asyncpg.Connection):
    """Refuses to take a COMMIT for done that Postgres answered with ROLLBACK.

    It answers so when a statement had failed and its error was swallowed in the block: everything written is gone.
    """

    interrupted = False

    async def settle(self) -> None:
        """After an interruption: end what may be under way on the server without the driver's knowing it.

        The driver prepares a statement and executes it in two messages, and only the second ends the transaction that
        Postgres began for both. Whoever is cancelled in between would leave it open, with its locks, for as long as
        nobody uses the connection.
        """
        if self.interrupted:
            self.interrupted = False
            await super().execute("")

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:
        """As asyncpg's, which ignores the answer to a COMMIT."""
        status = await super().execute(query, *args, timeout=timeout)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError("nothing was committed: an error in the block was swallowed")
        return status


def interrupt(connection: AnyConnection) -> None:
    """Note that a statement did not come to its end; the connection settles before somebody else gets it."""
    bare = getattr(connection, "_con", connection)  # the pool's proxy has it, or None once it is given back
    if isinstance(bare, CheckedConnection):
        bare.interrupted = True


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Make json and jsonb plain Python values, in columns and parameters alike."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", format="text", encoder=encode_json, decoder=json.loads
        )


def encode_json(value: object) -> str:
    """JSON as it is stored: compact, UTF-8; ValueError for NaN and infinities, which JSON does not have."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def sqlstate_of(error: BaseException | None) -> str | None:
    """The SQLSTATE behind an error, ours or the driver's; None when the server said none."""
    while error is not None:
        if isinstance(error, asyncpg.PostgresError):
            return str(error.sqlstate)
        error = error.__cause__
    return None


def constraint_of(error: BaseException) -> str | None:
    """The name of the violated constraint or unique index behind an error of SQLSTATE class 23."""
    name = getattr(error, "constraint_name", None)
    return name if isinstance(name, str) else None


def is_connection_trouble(error: BaseException) -> bool:
    """Whether the error says that the server, or the way to it, is away (rather than that the statement is wrong)."""
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate)
        return state.startswith("08") or state in _CONNECTION_STATES
    if isinstance(error, asyncpg.InternalClientError):
        # Also what the driver says when the server's farewell came in just before a statement went out.
        return not isinstance(error, asyncpg.OutdatedSchemaCacheError)
    return isinstance(error, OSError)


def is_refused_setting(error: Exception) -> bool:
    """Whether a pooler refused a startup setting. It says so as if the server were away, yet waiting does not help."""
    refused = isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error)
    if refused:
        error.add_note("behind pgbouncer in transaction mode, add statement_cache_size=0 to the DSN's query")
    return refused


def is_lost(error: BaseException, connection: AnyConnection) -> bool:
    """Like `is_connection_trouble`, and also when the driver complains only about using the dead connection."""
    return is_connection_trouble(error) or (isinstance(error, asyncpg.InterfaceError) and is_dead(connection))


def is_dead(connection: AnyConnection) -> bool:
    """Whether the connection was closed. One that the server ended is taken from its holder, and cannot be asked."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def unavailable() -> Unavailable:
    """What a caller hears when the database is away; addresses and names stay in the cause."""
    return Unavailable("the database cannot be reached", reason="DATABASE_UNAVAILABLE")


def translate(error: Exception, connection: AnyConnection | None = None) -> WakepointError | None:
    """The error of ours that a driver error means; None when it is ours already, or a bug's that shall stay visible."""
    if is_connection_trouble(error) or (connection is not None and is_lost(error, connection)):
        return unavailable()
    if isinstance(error, _CACHED_PLAN_ERRORS):
        return TransactionConflict("the schema changed under a cached statement", reason="SCHEMA_CHANGED")
    if isinstance(error, asyncpg.PostgresError):
        return _translate_state(error)
    if _is_refused_by_encoder(error):
        return InvalidArgument("a value does not fit its column", reason="INVALID_VALUE")
    return None


def _translate_state(error: asyncpg.PostgresError) -> WakepointError | None:
    state = str(error.sqlstate)
    match (state[:2], state):
        case ("40", _):
            return TransactionConflict("the transaction met another one", sqlstate=state)
        case ("22", _):
            return InvalidArgument(f"the database refused a value: {error}", reason="INVALID_VALUE", sqlstate=state)
        case ("53" | "54", _):
            return ResourceExhausted("a limit of the database was reached", reason="DATABASE_LIMIT", sqlstate=state)
        case (_, "55P03"):
            return Aborted("a lock could not be had in time", reason="LOCK_TIMEOUT", sqlstate=state)
        case (_, "57014"):
            return Unavailable("the database took too long", reason="DATABASE_TIMEOUT", sqlstate=state)
        case _:
            return None


def _is_refused_by_encoder(error: Exception) -> bool:
    # asyncpg keeps its own DataError (a parameter that cannot be encoded) private; this is what tells it apart.
    return (
        isinstance(error, asyncpg.InterfaceError)
        and isinstance(error, ValueError)
        and not isinstance(error, asyncpg.ClientConfigurationError)
    )
