"""The two workflows of the example, and a command that stores them.

python workflow.py --experiment digits
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from wakepoint.client import Client

HERE = Path(__file__).resolve().parent
APPROVERS = ["ada", "grace"]

# Fires for COMPLETE training jobs called digits, unless they learned next to nothing.
ON_TRAINING = {"TRAIN": {"job_name_pattern": "digits*", "condition": "job.attributes.train_accuracy > 0.8"}}
ON_EXPORT = ["EXPORT_MODEL"]


def evaluate_approve_export() -> dict[str, Any]:
    """Evaluate the model that was trained, wait for a person for as long as that takes, export the model."""
    return {
        "nodes": [
            {"id": "evaluate", "type": "RunJob", "properties": _job("EVAL", "evaluate.py")},
            {
                "id": "approval",
                "type": "Approval",
                # After a second the wait leaves the runner's memory and is one row in Postgres.
                "properties": {"approvers": APPROVERS, "inactivity_timeout_seconds": 1},
            },
            {"id": "export", "type": "RunJob", "properties": _job("EXPORT_MODEL", "export.py")},
            {"id": "exported", "type": "Output"},
            {"id": "rejected", "type": "Output"},
        ],
        "edges": [
            {"source": "evaluate", "target": "approval", "target_input": "evaluation"},
            {"source": "evaluate", "target": "export", "target_input": "evaluation"},
            {"source": "approval", "source_output": "approved", "target": "export", "target_input": "approval"},
            {"source": "approval", "source_output": "rejected", "target": "rejected"},
            {"source": "export", "target": "exported"},
        ],
    }


def release_note() -> dict[str, Any]:
    """Say in a sentence what was exported, from what the export job tells about itself."""
    job = "input.job.attributes"
    sentence = (
        f"'The model of training job ' + {job}.train_job_id + ' reads ' + string({job}.correct) + ' of '"
        f" + string({job}.samples) + ' unseen digits; approved by ' + {job}.approved_by + '; ' + {job}.export_uri"
    )
    return {
        "nodes": [
            {"id": "write", "type": "Expression", "properties": {"expression": sentence}},
            {"id": "release_note", "type": "Output"},
        ],
        "edges": [{"source": "write", "target": "release_note"}],
    }


def _job(job_type: str, script: str) -> dict[str, Any]:
    return {"job_type": job_type, "command": [sys.executable, str(HERE / script)]}


async def store(client: Client, experiment_id: str) -> tuple[str, str]:
    """Store both workflows; their ids."""
    first = await client.create_workflow(
        experiment_id=experiment_id,
        name="Evaluate, approve, export",
        graph=evaluate_approve_export(),
        triggers=ON_TRAINING,
    )
    second = await client.create_workflow(
        experiment_id=experiment_id, name="Release note", graph=release_note(), triggers=ON_EXPORT
    )
    return first.workflow_id, second.workflow_id


async def main() -> None:
    """Store the workflows in the services that WAKEPOINT_TRIGGER_ADDRESS and WAKEPOINT_RUNNER_ADDRESS name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True)
    options = parser.parse_args()
    async with Client() as client:
        for workflow_id in await store(client, options.experiment):
            print(workflow_id)


if __name__ == "__main__":
    asyncio.run(main())
