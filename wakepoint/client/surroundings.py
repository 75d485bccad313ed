"""What a process learns from its environment about the run that started it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Self

from wakepoint.client.json_ready import json_object
from wakepoint.trigger.v1.trigger_pb2 import Causation

_log = getLogger("wakepoint.client")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The variables that RunJob sets for its jobs; each empty outside of one."""

    run_id: str = ""
    job_id: str = ""
    experiment_id: str = ""
    trace_parent: str = ""
    input_path: Path | None = None
    output_path: Path | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Those of this process, unless an environment is given."""
        variables = os.environ if environment is None else environment
        job_input, job_output = variables.get("WAKEPOINT_INPUT"), variables.get("WAKEPOINT_OUTPUT")
        return cls(
            run_id=variables.get("WAKEPOINT_RUN_ID", ""),
            job_id=variables.get("WAKEPOINT_JOB_ID", ""),
            experiment_id=variables.get("WAKEPOINT_EXPERIMENT_ID", ""),
            trace_parent=variables.get("TRACEPARENT", ""),
            input_path=Path(job_input) if job_input else None,
            output_path=Path(job_output) if job_output else None,
        )

    def causation(self) -> Causation | None:
        """The run as the cause of jobs that this process reports; None outside of one."""
        if not self.run_id:
            return None
        return Causation(run_id=self.run_id, depth=1 + self._depth())

    def add_to_output(self, values: Mapping[str, object]) -> None:
        """Add to the JSON object that becomes the node's output; what else the job wrote there stays."""
        if self.output_path is None or not values:
            return
        written = _read(self.output_path)
        if written is not None and not isinstance(written, dict):
            _log.warning("the job's output is no JSON object, so these were not added: %s", ", ".join(values))
            return
        unfinished = self.output_path.with_name(self.output_path.name + ".new")
        unfinished.write_text(json.dumps({**(written or {}), **json_object(values)}), encoding="utf-8")
        unfinished.replace(self.output_path)

    def _depth(self) -> int:
        document = _read(self.input_path) if self.input_path else None
        run = document.get("run") if isinstance(document, dict) else None
        depth = run.get("depth") if isinstance(run, dict) else None
        return depth if isinstance(depth, int) else 0


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8") or "null")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read as JSON: %s", path, error)
        return None
