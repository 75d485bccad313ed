"""What a RunJob node hands to its process and takes from it: two JSON files, named by the environment.

A job needs no library of Wakepoint's for this, so that it may run in any image and be written in any language.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def read_input() -> dict[str, Any]:
    """`input` (what the run was started with), `inputs` (what arrived at the node, by name) and `run`."""
    document: dict[str, Any] = json.loads(Path(os.environ["WAKEPOINT_INPUT"]).read_text(encoding="utf-8"))
    return document


def write_output(output: dict[str, Any]) -> None:
    """The node's output, which is also what the job's completion tells as its attributes."""
    Path(os.environ["WAKEPOINT_OUTPUT"]).write_text(json.dumps(output), encoding="utf-8")


def path_of(uri: str) -> Path:
    """The path behind a file URI."""
    return Path(unquote(urlsplit(uri).path))
