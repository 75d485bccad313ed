"""Trigger configs: when a workflow starts by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, StrictBool

from trigger_service.domain.spans import Span

OPTIONS = (
    "condition",
    "job_name_pattern",
    "on_statuses",
    "source_experiment_ids",
    "expire_time",
    "delay",
    "debounce",
    "max_firings",
    "rate_limit",
    "while_paused",
)


class WhilePaused(StrEnum):
    """What becomes of matches while triggers are paused."""

    HOLD = "HOLD"
    DROP_AND_RECORD = "DROP_AND_RECORD"


class Debounce(BaseModel):
    """A burst of matches becomes one firing, for the last of them.

    It is released when no match has come for `quiet_period`, at the latest `max_wait` after the first one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quiet_period: Span
    max_wait: Span | None = None


class RateLimit(BaseModel):
    """At most `max_firings` in a window, which opens with the first firing that it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_firings: int
    window: Span


class TriggerConfig(BaseModel):
    """One config, well-formed: what the normaliser puts out and what validation lets in.

    Empty options do not restrict: every name, status COMPLETE only, the workflow's own experiment only, for ever, as
    often as it matches, at once. `fault` is read only: why a stored config that cannot be honoured is off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trigger_type: str
    is_enabled: StrictBool
    condition: str = ""
    job_name_pattern: str = ""
    on_statuses: tuple[str, ...] = ()
    source_experiment_ids: tuple[str, ...] = ()
    expire_time: AwareDatetime | None = None
    delay: Span | None = None
    debounce: Debounce | None = None
    max_firings: int = 0
    rate_limit: RateLimit | None = None
    while_paused: WhilePaused | None = None
    fault: str = ""

    @property
    def needs_admission(self) -> bool:
        """Whether a match has to pass the trigger's counter: it is limited, or may join an earlier one."""
        return self.debounce is not None or self.rate_limit is not None or self.max_firings > 0

    def to_stored(self) -> dict[str, Any]:
        """The config as it stands in jsonb: without the options that are not used."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"fault"})
