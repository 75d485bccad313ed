"""The example's files, and running them as a person would."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import wakepoint
from wakepoint.cli.demo.telling import PromiseBroken

NEEDED: Final = ("sklearn", "joblib", "numpy")
_NAME: Final = "train_evaluate_approve"


def missing_packages() -> list[str]:
    """Which of the packages that the example needs are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def example_folder() -> Path:
    """Where the example is: in a checkout beside the packages, in an installed wheel inside this one."""
    packages = Path(next(iter(wakepoint.__path__))).parent
    places = (Path(__file__).with_name(_NAME), packages / "examples" / _NAME)
    found = next((place for place in places if (place / "train.py").exists()), None)
    if found is None:
        raise PromiseBroken(f"the example is not installed; looked in {' and '.join(map(str, places))}")
    return found


async def run_script(script: str, *arguments: str, environment: Mapping[str, str]) -> list[str]:
    """Run one of the example's scripts; the lines that it printed. PromiseBroken with its errors when it fails."""
    folder = example_folder()
    packages = str(Path(next(iter(wakepoint.__path__))).parent)
    path = os.pathsep.join(filter(None, [packages, os.environ.get("PYTHONPATH", "")]))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(folder / script),
        *arguments,
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise PromiseBroken(f"{script} ended with status {process.returncode}:\n{errors.decode(errors='replace')}")
    return output.decode().splitlines()
