"""What a job left in its folder, checked for whether it can be kept."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from runner_service.backends import supervise
from wakepoint.chassis.errors import Violations
from wakepoint.chassis.protojson import check_text
from wakepoint.nodes.backends import JobResult

OUTPUT = "output.json"
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 8 * 1024


def result_of(folder: Path, ended: Mapping[str, Any]) -> JobResult:
    """The job's result, from how its process ended: {exit_code, stopped, error}."""
    code = ended["exit_code"]
    if ended["stopped"]:
        return JobResult("STOPPED", code, error="the job was stopped")
    if code != 0:
        return JobResult("FAILED", code, error=ended.get("error") or _last_words(folder, code))
    try:
        return JobResult("COMPLETE", 0, _output(folder / OUTPUT))
    except (OSError, ValueError, RecursionError) as error:
        return JobResult("FAILED", 0, error=f"the job's output cannot be taken: {error}")


def _output(path: Path) -> Any:
    """What the job wrote; None if it wrote nothing. ValueError for what is no JSON or cannot be stored."""
    if not path.exists():
        return None
    if not path.is_file():
        raise ValueError("it is not an ordinary file")
    # No more than what is allowed is ever read: the job may have left anything there.
    with path.open("rb") as file:
        text = file.read(MAX_OUTPUT_BYTES + 1)
    if len(text) > MAX_OUTPUT_BYTES:
        raise ValueError(f"it has more than {MAX_OUTPUT_BYTES} bytes: write a URI instead")
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    _check(value)
    return value


def _check(value: Any) -> None:
    violations = Violations()
    check_text(value, "output", violations)
    for violation in violations:
        raise ValueError(f"{violation.field} {violation.description}")
    # Numbers such as 1e999 are JSON, and infinite here.
    json.dumps(value, allow_nan=False)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _last_words(folder: Path, exit_code: int) -> str:
    said = _tail(folder / supervise.STDERR)
    if exit_code >= 0:
        return said
    return "\n".join(filter(None, [said.rstrip(), f"killed by {_signal_name(-exit_code)}"]))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_ERROR_BYTES))
        return file.read(MAX_ERROR_BYTES).decode("utf-8", "replace").replace("\0", "")
