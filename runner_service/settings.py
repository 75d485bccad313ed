"""What an operator sets for runner_service, in the environment, each name with the prefix RUNNER_."""

import os
import socket
from pathlib import Path

from platformdirs import user_state_path
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from wakepoint.chassis.settings import Address, ServiceSettings


class Settings(ServiceSettings):
    """Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="RUNNER_")

    grpc_address: Address = "127.0.0.1:50052"
    http_address: Address = "127.0.0.1:8082"
    management_address: Address = "127.0.0.1:9082"
    trigger_address: Address = "127.0.0.1:50051"
    pool_size: int = Field(default=10, ge=2, le=200, description="connections to Postgres")
    nodes: str = Field(default="", description="files with node types, separated as in PATH")
    webhook_key: SecretStr = Field(default=SecretStr(""), description="signs webhook addresses; at least 32 characters")
    public_url: str = Field(default="", description="how webhooks reach this service; default: its HTTP address")
    host: str = Field(default_factory=socket.gethostname, description="names the machine that subprocess jobs are on")
    jobs_dir: Path = Field(
        default_factory=lambda: user_state_path("wakepoint") / "jobs", description="of subprocess jobs"
    )
    jobs_kept_days: float = Field(default=7.0, ge=0, le=3650, description="files of a subprocess job, after its end")
    job_host_lost_seconds: float = Field(
        default=300.0, ge=10, description="without a replica on a machine until its jobs are given up"
    )
    executing_runs: int = Field(default=200, ge=1, description="runs executing nodes at one time")
    max_hot_waits: int = Field(default=10_000, ge=0, description="waits in memory at one time")
    lease_seconds: float = Field(default=10.0, ge=3, le=3600)
    heartbeat_seconds: float = Field(default=2.0, gt=0)
    drain_seconds: float = Field(default=15.0, ge=0, description="for executing nodes, once told to stop")
    job_events_kept_hours: float = Field(
        default=24.0, gt=0, le=24 * 366, description="for JobCompleted nodes that begin to wait later"
    )
    compact_after_activations: int = Field(
        default=200, ge=1, description="of an endless run, until its log is replaced by a snapshot"
    )
    finished_runs_kept_days: float = Field(
        default=90.0, ge=30, le=36_500, description="after their end; then they are removed with all of theirs"
    )
    archive_dir: Path | None = Field(default=None, description="where removed runs are kept as files of JSON lines")
    settled_events_kept_days: float = Field(
        default=30.0, ge=1, le=36_500, description="of endless runs; as long a repeated event is known as a duplicate"
    )
    retention_seconds: float = Field(default=60.0, ge=1, description="between two looks for what may be removed")
    max_crashes: int = Field(default=3, ge=1, description="of its replica, in a row, before a run fails")

    def node_files(self) -> list[Path]:
        """The files with node types of one's own."""
        return [Path(name) for name in self.nodes.split(os.pathsep) if name]

    def job_environment(self) -> dict[str, str]:
        """What subprocess jobs see of the service's own environment: enough to find programs, and no secret."""
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "WAKEPOINT_TRIGGER_ADDRESS")
        return {name: os.environ[name] for name in kept if name in os.environ}
