"""Trigger configs: when a workflow starts by itself."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, StrictBool

NOT_AVAILABLE_YET = ("delay", "debounce", "max_firings", "rate_limit", "while_paused")
"""Options that need state at the match. They are refused on a write and turn a stored config off, never ignored."""

OPTIONS = ("condition", "job_name_pattern", "on_statuses", "source_experiment_ids", "expire_time")


class TriggerConfig(BaseModel):
    """One config, well-formed: what the normaliser puts out and what validation lets in.

    Empty options do not restrict: every name, status COMPLETE only, the workflow's own experiment only, for ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trigger_type: str
    is_enabled: StrictBool
    condition: str = ""
    job_name_pattern: str = ""
    on_statuses: tuple[str, ...] = ()
    source_experiment_ids: tuple[str, ...] = ()
    expire_time: AwareDatetime | None = None

    def to_stored(self) -> dict[str, Any]:
        """The config as it stands in jsonb: without the options that are not used."""
        return self.model_dump(mode="json", exclude_defaults=True)
