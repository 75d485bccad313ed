"""The demo fails loudly: a promise that is not kept, or a package that is not there, ends it with status 1."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from wakepoint.chassis.protojson import datetime_to_timestamp, python_to_struct
from wakepoint.cli import app
from wakepoint.cli.demo import command, example
from wakepoint.cli.demo.example import example_folder, run_script
from wakepoint.cli.demo.telling import PromiseBroken, Teller
from wakepoint.cli.demo.words import entry_in_words
from wakepoint.runner.v1.runner_pb2 import RunEvent


def test_a_broken_promise_says_what_was_found() -> None:
    told = io.StringIO()
    teller = Teller(Console(file=told))
    teller.promise(True, "the sun rises")
    with pytest.raises(PromiseBroken, match=r"not so: the run is COMPLETED \(found: FAILED\)"):
        teller.promise(False, "the run is COMPLETED", "FAILED")
    assert told.getvalue() == "    ok  the sun rises\n"


def test_a_broken_promise_ends_the_command_with_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def break_it(*_: object) -> None:
        raise PromiseBroken("not so: upstream ran once (found: 2)")

    monkeypatch.setattr(command, "_tell", break_it)
    done = CliRunner().invoke(app, ["demo", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert "not so: upstream ran once (found: 2)" in done.output


def test_what_the_example_needs_and_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "NEEDED", ("sklearn", "no_such_package"))
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 1
    assert "no_such_package is missing" in done.output
    assert "pip install 'wakepoint[embedded,examples]'" in done.output


def test_rows_are_aligned_and_cut_only_on_a_terminal() -> None:
    rows = [("a", "what"), ("10", "x" * 60)]
    for terminal, longest in ((True, 40), (False, 68)):
        told = io.StringIO()
        Teller(Console(file=told, width=40, force_terminal=terminal, color_system=None)).table(rows)
        lines = told.getvalue().splitlines()
        assert lines[0].startswith("    a   what")
        assert max(map(len, lines)) == longest


def test_a_log_entry_is_a_row_with_the_gist_of_its_payload() -> None:
    entry = RunEvent(
        seq=7,
        event_type="NodeSuspended",
        node_id="approval",
        activation="1",
        payload=python_to_struct({"reason": "Trigger inactivity timeout (1s)", "state": {}}),
        create_time=datetime_to_timestamp(datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)),
    )
    assert entry_in_words(entry) == (
        "7",
        "03:04:05.678",
        "NodeSuspended",
        "approval [1]",
        "reason: Trigger inactivity timeout (1s)",
    )


async def test_a_script_of_the_example_that_fails_breaks_the_story_with_its_own_words() -> None:
    with pytest.raises(PromiseBroken, match=r"train.py ended with status 2:(.|\n)*--folder"):
        await run_script("train.py", environment={})


def test_the_example_is_found() -> None:
    assert (example_folder() / "evaluate.py").exists()
