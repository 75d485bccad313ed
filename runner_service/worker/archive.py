"""An archive of removed runs: files of JSON lines in a directory."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wakepoint.chassis.errors import Unavailable
from wakepoint.chassis.ids import new_id


class Archive:
    """Each batch becomes a file `runs-<id>.jsonl`, a run a line; ids grow with time, whichever replica writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, runs: Sequence[dict[str, Any]]) -> None:
        """Write the runs; when this returns they are on the disk, whole. Unavailable when they cannot be written."""
        try:
            await asyncio.to_thread(self._write, runs)
        except OSError as error:
            told = f"the archive {self._folder} cannot be written: {error}"
            raise Unavailable(told, reason="ARCHIVE_UNAVAILABLE") from error

    def _write(self, runs: Sequence[dict[str, Any]]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"runs-{new_id()}.jsonl"
        building = path.with_suffix(".part")
        with building.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(run, ensure_ascii=False)}\n" for run in runs)
            file.flush()
            os.fsync(file.fileno())
        building.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
