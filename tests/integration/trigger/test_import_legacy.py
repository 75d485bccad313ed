"""`wakepoint-trigger import-legacy` on databases as the old system leaves them."""

import asyncio
import hashlib
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trigger.harness import Harness
from tests.support.conditions import eventually
from trigger_service.domain.blueprints import on_offer
from trigger_service.storage import legacy_source
from trigger_service.usecases.import_legacy import Fate, Line, import_legacy, workflow_id_of
from wakepoint.chassis.errors import FailedPrecondition
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

SCHEMA = """
create table experiment (id integer primary key, name text, config json);
create table workflows (id integer primary key, name text, config json, status text, experiment_id integer,
                        trigger_configs json, created_at text, updated_at text);
create table workflow_triggers (id integer primary key, trigger_type text, name text, experiment_id integer,
                                config json, is_enabled boolean);
create table workflow_runs (id integer primary key, workflow_id integer, status text, experiment_id integer);
create table job (id integer primary key, type text, status text, experiment_id integer, job_data json,
                  triggers_processed boolean);
"""
ON = '[{"trigger_type": "TRAIN", "is_enabled": true}]'


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def add(path: Path, row_id: int | None, trigger_configs: object = ON, **given: Any) -> None:
    row = {"name": f"w{row_id}", "config": '{"nodes": []}', "status": "CREATED", "experiment_id": 1} | given
    change(
        path,
        "insert into workflows (id, trigger_configs, name, config, status, experiment_id) values (?, ?, ?, ?, ?, ?)",
        row_id,
        trigger_configs,
        *row.values(),
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    path = folder / "llmlab.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


async def run_import(service: Harness, path: Path, source: str = "lab") -> dict[str, Line]:
    lines = await import_legacy(service.database, on_offer(), source, legacy_source.read(path))
    return {f"{line.table} {line.row_key}": line for line in lines}


async def get(service: Harness, key: str) -> messages.Workflow:
    workflow_id = str(workflow_id_of("lab", key))
    return await service.stub.GetWorkflow(calls.GetWorkflowRequest(workflow_id=workflow_id))


def on(workflow: messages.Workflow) -> list[str]:
    return [config.trigger_type for config in workflow.trigger_configs if config.is_enabled]


async def test_workflows_come_with_their_triggers_and_fire_and_the_source_is_untouched(
    service: Harness, old: Path
) -> None:
    add(old, 1)
    add(old, 2, None, config=json.dumps({"triggers": [{"type": "EXPORT", "enabled": True}]}))
    add(old, 3, None)
    change(old, "insert into workflow_triggers values (1, 'EVAL', 'x', 1, ?, 1)", json.dumps({"workflow_ids": [3]}))
    before = contents(old.parent)
    lines = await run_import(service, old)
    assert {key: line.fate for key, line in lines.items()} == {
        "workflow_triggers 1": Fate.UNDERSTOOD,
        "workflows 1": Fate.TAKEN,
        "workflows 2": Fate.TAKEN,
        "workflows 3": Fate.TAKEN,
    }
    assert [on(await get(service, key)) for key in "123"] == [["TRAIN"], ["EXPORT_MODEL"], ["EVAL"]]
    assert contents(old.parent) == before
    workflow = await get(service, "1")
    assert (workflow.name, workflow.experiment_id, len(workflow.trigger_configs)) == ("w1", "1", 6)
    assert [node.type for node in workflow.graph.nodes] == ["Constant", "Manual"]
    assert "not translated" in str(workflow.graph.nodes[0].properties["value"])
    answer = await service.report(experiment_id="1")
    assert [firing.workflow_id for firing in answer.firings] == [workflow.workflow_id]
    kept = "select source_row ->> 'config' from trigger.legacy_imports where row_key = '1'"
    assert await service.value(kept) == '{"nodes": []}'


async def test_importing_again_takes_over_changes_there_and_leaves_alone_what_was_changed_here(
    service: Harness, old: Path
) -> None:
    for key in range(1, 6):
        add(old, key)
    await run_import(service, old)
    assert {line.fate for line in (await run_import(service, old)).values()} == {Fate.UNCHANGED}
    assert await service.value("select count(*) from trigger.workflows") == 5
    edited = await get(service, "2")
    update = calls.UpdateTriggerConfigsRequest(workflow_id=edited.workflow_id, configs=edited.trigger_configs)
    update.configs[4].is_enabled = True
    await service.stub.UpdateTriggerConfigs(update)
    await service.stub.DeleteWorkflow(
        calls.DeleteWorkflowRequest(workflow_id=str(workflow_id_of("lab", "3")), experiment_id="1")
    )
    off = '[{"trigger_type": "TRAIN", "is_enabled": false}]'
    change(old, "update workflows set trigger_configs = ? where id in (1, 2, 3)", off)
    change(old, "update workflows set status = 'DELETED' where id = 4")
    change(old, "delete from workflows where id = 5")
    lines = await run_import(service, old)
    assert {key[-1]: line.fate for key, line in lines.items()} == {
        "1": Fate.UPDATED,
        "2": Fate.LEFT,
        "3": Fate.LEFT,
        "4": Fate.DELETED,
        "5": Fate.VANISHED,
    }
    assert (on(await get(service, "1")), on(await get(service, "2"))) == ([], ["TRAIN", "EVAL"])
    assert on(await get(service, "5")) == ["TRAIN"]
    assert (await run_import(service, old))["workflows 4"].fate is Fate.SKIPPED


async def test_two_sources_and_two_imports_at_once_do_not_meet(service: Harness, old: Path) -> None:
    for key in range(8):
        add(old, key + 1)
    await asyncio.gather(*(run_import(service, old, source) for source in ("lab", "lab", "other", "lab")))
    assert await service.value("select count(*) from trigger.workflows") == 16


async def test_damaged_rows_are_told_of_and_hold_back_no_other(service: Harness, old: Path) -> None:
    damaged = ["null", "", "not json", '{"TRAIN": true}', '["TRAIN"]', '[{"trigger_type": "FLY", "is_enabled": true}]']
    for place, value in enumerate(damaged):
        add(old, place + 1, value)
    add(old, 7, '[{"trigger_type": "TRAIN", "is_enabled": true}, {"trigger_type": "TRAIN", "is_enabled": false}]')
    add(old, 8, experiment_id=None)
    add(old, 9, config="{", name="x" * 999)
    change(old, "insert into workflow_triggers values (1, 'FLY', 'x', 1, '{}', 1)")
    lines = await run_import(service, old)
    assert [on(await get(service, str(key))) for key in range(1, 8)] == [[]] * 6 + [["TRAIN"]]
    assert lines["workflows 8"].fate is Fate.REFUSED
    assert [key for key, line in lines.items() if not line.is_whole] == [
        "workflow_triggers 1",
        *(f"workflows {key}" for key in (2, 3, 4, 5, 6, 8, 9)),
    ]


async def test_an_old_schema_without_the_newer_tables_and_columns_is_enough(service: Harness, tmp_path: Path) -> None:
    path = tmp_path / "ancient.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table Workflow (ID integer primary key, Name text, experiment_id text)")
        connection.execute("insert into Workflow values (1, 'w', 'alpha')")
    lines = await run_import(service, path)
    assert lines["workflows 1"].fate is Fate.TAKEN
    assert (await get(service, "1")).experiment_id == "alpha"


async def test_what_stands_only_in_the_write_ahead_log_is_read_without_touching_it(service: Harness, old: Path) -> None:
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("pragma wal_autocheckpoint = 0")
        writer.execute(
            "insert into workflows (id, name, experiment_id, trigger_configs) values (1, 'new', 1, ?)", (ON,)
        )
        writer.commit()
        before = contents(old.parent)
        assert (old.parent / "llmlab.sqlite3-wal").stat().st_size > 0
        lines = await run_import(service, old)
        assert contents(old.parent) == before
    assert lines["workflows 1"].fate is Fate.TAKEN


@pytest.mark.parametrize("what", ["missing", "folder", "text", "empty", "other"])
def test_what_is_no_such_database_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "file"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("this is not a database at all, but a text that is long enough to look like a header " * 20)
    elif what == "empty":
        path.touch()
    elif what == "other":
        change(path, "create table something (id int)")
    with pytest.raises(FailedPrecondition):
        legacy_source.read(path)


async def command(dsn: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trigger_service",
        "import-legacy",
        *arguments,
        env={**os.environ, "TRIGGER_DATABASE_URL": dsn, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def said(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_the_command_says_row_by_row_what_it_did_and_ends_accordingly(
    tmp_path: Path, trigger_dsn: str, old: Path
) -> None:
    add(old, 1)
    status, told = await said(await command(trigger_dsn, str(old)))
    assert status == 0
    assert 'workflows 1: taken: "w1" in experiment 1, started by TRAIN (trigger_configs) as ' in told
    add(old, 2, "not json")
    status, told = await said(await command(trigger_dsn, str(old)))
    assert status == 3
    assert "workflows 1: taken before" in told
    assert "  lost: trigger_configs is not JSON, not a list" in told
    assert "2 rows, 1 of them without loss" in told
    assert (await said(await command(trigger_dsn, str(tmp_path / "nothing"))))[0] == 1
    assert (await said(await command(trigger_dsn)))[0] == 2
    assert (await said(await command(trigger_dsn, str(old), "--follow")))[0] == 2
    assert "--follow" in (await said(await command(trigger_dsn, "--help")))[1]


async def test_following_compares_with_what_the_old_system_queued_and_carries_nothing_out(
    service: Harness, trigger_dsn: str, old: Path
) -> None:
    add(old, 1)
    add(old, 2)
    change(old, "insert into job values (1, 'TRAIN', 'COMPLETE', 1, '{}', 1)")
    process = await command(
        trigger_dsn, str(old), "--source", "lab", "--follow", "--every", "0.05", "--patience", "1",
        TRIGGER_MODE="shadow",
    )  # fmt: skip
    try:
        await eventually(lambda: service.value("select count(*) = 2 from trigger.legacy_imports"), timeout=20)
        # What is there now is what happens from now on; the job before it was history.
        change(old, "insert into job values (2, 'TRAIN', 'RUNNING', 1, '{\"score\": 1}', 0)")
        change(old, "update job set status = 'COMPLETE' where id = 2")
        change(old, "insert into workflow_runs values (1, 1, 'QUEUED', 1)")  # as we would; workflow 2 is missing
        await eventually(lambda: service.value("select count(*) = 2 from trigger.firings"), timeout=20)
        change(old, "insert into workflow_runs values (2, 9, 'QUEUED', 1)")
        assert process.stdout is not None
        told = ""
        async with asyncio.timeout(20):
            while told.count("difference:") < 2:
                told += (await process.stdout.readline()).decode()
    finally:
        process.send_signal(signal.SIGTERM)
    status, rest = await said(process)
    assert status == 4
    assert "difference: job 2 would have started workflow 2 here; it did not there" in told
    assert "difference: workflow 9 was queued there (run 2); here it would not" in told
    assert "queued by both: 1; by one of the two: 2" in rest
    assert await service.value("select array_agg(distinct state || ' ' || held_by) from trigger.firings") == [
        "CANCELLED SHADOW"
    ]
    assert not await service.dispatcher().dispatch_once()
    assert service.peer.sent == 0
    fired = "select attributes from trigger.job_events"
    assert await service.value(fired) == {"score": 1}
