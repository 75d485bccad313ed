"""Workflows whose jobs start workflows: can one of them, in the end, start itself?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

Cause: TypeAlias = tuple[str, str]
"""A job's experiment and type."""


@dataclass(frozen=True, slots=True)
class Startable:
    """A workflow, and the types of the jobs that its graph runs."""

    workflow_id: UUID
    experiment_id: str
    name: str
    job_types: tuple[str, ...]

    def causes(self) -> Iterator[Cause]:
        """The jobs that a run of it reports: in its own experiment."""
        for job_type in self.job_types:
            yield (self.experiment_id, job_type)


@dataclass(frozen=True, slots=True)
class Step:
    """A job starts a workflow, and what came before; None: the workflow that is asked about."""

    job_type: str
    target: Startable
    before: Step | None

    def path(self) -> list[Step]:
        """The steps from the first on."""
        found: list[Step] = []
        step: Step | None = self
        while step is not None:
            found.append(step)
            step = step.before
        return found[::-1]


def warning(start: Startable, last: Step, max_depth: int) -> str:
    """What to say of a workflow that the step leads back to."""
    told = f'"{start.name}"'
    for step in last.path():
        told += f' -{step.job_type}-> "{step.target.name}"'
    return (
        f"the workflow can start itself again and again: {told}; "
        f"after {max_depth} runs in a row the next one is not started (LOOP_LIMIT)"
    )
