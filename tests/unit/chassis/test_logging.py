"""What log lines look like."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from wakepoint.chassis.logging import setup_logging


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """Logging is the process's: other tests get it back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json_lines_hold_the_event_its_values_and_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "info")
    structlog.contextvars.bind_contextvars(trace_id="t1")
    structlog.stdlib.get_logger("a.b").info("claimed", run="r1")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["run"], line["trace_id"], line["level"], line["logger"]) == (
        "claimed",
        "r1",
        "t1",
        "info",
        "a.b",
    )


def test_the_standard_librarys_loggers_come_out_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "info")
    logging.getLogger("c").warning("lost %s", "it", extra={"host": "h"})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["host"], line["level"]) == ("lost it", "h", "warning")


def test_passwords_in_connection_strings_never_appear(capsys: pytest.CaptureFixture[str]) -> None:
    styles: list[Literal["json", "console"]] = ["json", "console"]
    for style in styles:
        setup_logging(style, "info")
        try:
            raise ConnectionError("cannot reach postgresql://wakepoint:hunter2@db/x")
        except ConnectionError:
            structlog.stdlib.get_logger("d").exception(
                "at postgres://u:hunter2@h:1/x", dsn="postgresql://u:hunter2@h/x"
            )
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "postgresql://u:***@h/x" in written


def test_levels_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "warning")
    structlog.stdlib.get_logger("e").info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    assert capsys.readouterr().err == ""
