"""What an operator sets, from the environment, each name with the prefix TRIGGER_."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from wakepoint.chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings):
    """The service's own settings.

    `blueprints`: a JSON list of {trigger_type, name, description, default_is_enabled}, offered after the built-in ones.
    Spans are in seconds. A lease must outlast the deadline of a call to the runner, with room to record its answer.
    """

    model_config = SettingsConfigDict(env_prefix="TRIGGER_")

    grpc_address: Address = "127.0.0.1:50051"
    http_address: Address = "127.0.0.1:8081"
    management_address: Address = "127.0.0.1:9081"
    runner_address: Address = "127.0.0.1:50052"
    runner_deadline: float = Field(default=5.0, gt=0, le=60)
    blueprints: list[dict[str, Any]] = Field(default_factory=list)
    max_depth: int = Field(default=8, ge=0, le=1_000)
    pool_size: int = Field(default=10, ge=2, le=200)
    dispatch_batch: int = Field(default=500, ge=1, le=1_000)
    dispatch_lease: float = Field(default=15.0, gt=0)
    dispatch_poll: float = Field(default=1.0, gt=0, le=1.0)
    dispatch_give_up_after: int = Field(default=5, ge=1)
    dispatch_first_retry: float = Field(default=1.0, gt=0)
    dispatch_longest_retry: float = Field(default=300.0, gt=0)
    mode: Literal["live", "shadow"] = Field(default="live", description="shadow: match and record, carry nothing out")
    sweep_poll: float = Field(default=1.0, gt=0, le=60)
    retention_poll: float = Field(default=300.0, gt=0)
    keep_history_days: float = Field(default=30.0, gt=0, description="events, decisions and firings")
    keep_keys_days: float = Field(default=180.0, gt=0, description="what a repeated report is recognised by")
    keep_requests_days: float = Field(default=30.0, ge=30)
