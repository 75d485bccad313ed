from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import Field, field_validator

from runner_service.domain.runs import JOB_SOURCE
from wakepoint.nodes import Context, Kind, Node, NodeError, TriggerEvent, TriggerInactivityTimeout
from wakepoint.nodes.backends import ENTRY_POINT_GROUP

_TAIL_LINES = 20
_TAIL_CHARACTERS = 4_000


class RunJob(Node):
    """Runs a program outside the runner and suspends while it runs.

    The program finds the path of a JSON file with `{input, inputs, run}` in `WAKEPOINT_INPUT`; what it writes, as JSON
    of at most 1 MiB, to the path in `WAKEPOINT_OUTPUT` is the node's output (large results: a URI). It also gets
    `WAKEPOINT_RUN_ID`, `WAKEPOINT_JOB_ID`, `WAKEPOINT_EXPERIMENT_ID` and `TRACEPARENT`. Each change of its status is
    reported to trigger_service as a job event of `job_type`. A job that does not end COMPLETE fails the node with its
    exit code and the end of its error output; the node's retry policy decides about another job.
    """

    kind: ClassVar[Kind] = "wait"
    repeatable: ClassVar[bool] = True

    job_type: str = Field(pattern="^[A-Z][A-Z0-9_]*$", max_length=64)
    """The type of its job events, for example `EVAL`."""
    job_name: str = Field(default="", max_length=200)
    """The name in its job events; the node's id unless given."""
    command: list[str] = Field(min_length=1, max_length=1000)
    """The program and its arguments. No shell reads them."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables to add."""
    backend: str = "subprocess"
    """Where the job runs: `subprocess`, on the runner's own machine, or a backend that a package brings."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """What the job needs, in the backend's own words."""
    on_runner_restart: Literal["reattach", "rerun"] = "reattach"
    """What to do about a job that outlived its runner: wait for it, or stop it and run it again."""

    @field_validator("backend")
    @classmethod
    def _backend_is_installed(cls, backend: str) -> str:
        installed = entry_points(group=ENTRY_POINT_GROUP).names
        if backend not in installed:
            raise ValueError(f"{backend!r} is not installed; there are: {', '.join(sorted(installed))}")
        return backend

    @field_validator("command")
    @classmethod
    def _names_a_program(cls, command: list[str]) -> list[str]:
        if not command[0]:
            raise ValueError("the program's name is empty")
        return command

    @field_validator("env")
    @classmethod
    def _names_are_names(cls, env: dict[str, str]) -> dict[str, str]:
        wrong = sorted(name for name in env if not name or "=" in name)
        if wrong:
            raise ValueError(f"not names of environment variables: {', '.join(map(repr, wrong))}")
        return env

    @field_validator("resources")
    @classmethod
    def _no_resources_yet(cls, resources: dict[str, Any]) -> dict[str, Any]:
        if resources:
            raise ValueError("is not available yet: the subprocess backend sets no limits")
        return resources

    async def process(self, context: Context) -> Any:
        """Start the job and suspend; or, when it has ended, return its output."""
        saved = await self.get_saved_state()
        # After a failure the next attempt wakes with the failed job's event again: what it needs is a job of its own.
        if not self.is_resuming() or saved["failures"] != context.failures:
            await self._wait_for(await context.host.submit_job(self._job(context)))
        job_id = saved["job_id"]
        while True:
            try:
                event = await context.host.wait(timeout=0, wake_time=None)
            except TriggerInactivityTimeout:
                await self._wait_for(job_id)
            if _concerns(event, job_id):
                return _output(event["payload"])

    def _job(self, context: Context) -> dict[str, Any]:
        spec = {
            "command": self.command,
            "env": self.env,
            "resources": self.resources,
            "on_runner_restart": self.on_runner_restart,
            "input": context.expression_values(),
        }
        return {"job_type": self.job_type, "job_name": self.job_name or self.id, "backend": self.backend, "spec": spec}

    async def _wait_for(self, job_id: str) -> NoReturn:
        metadata = {"job_id": job_id, "job_type": self.job_type, "backend": self.backend}
        state = {"job_id": job_id, "failures": self.context.failures}
        await self.suspend_workflow("Job running", state, metadata)


def _concerns(event: TriggerEvent, job_id: str) -> bool:
    payload = event.get("payload")
    # A job of an earlier attempt may end after this one was started.
    return event.get("source") == JOB_SOURCE and isinstance(payload, dict) and payload.get("job_id") == job_id


def _output(result: dict[str, Any]) -> Any:
    status = result.get("status")
    if status == "COMPLETE":
        return result.get("output")
    exit_code = result.get("exit_code")
    ended = f"job {result['job_id']} ended as {status}" + ("" if exit_code is None else f" with exit code {exit_code}")
    tail = "\n".join(str(result.get("error") or "").strip().splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
    raise NodeError(f"{ended}\n{tail}" if tail else ended)
