"""The client for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from wakepoint.client.channels import open_channel, runner_address, trigger_address
from wakepoint.client.runner_verbs import RunnerVerbs
from wakepoint.client.trigger_verbs import TriggerVerbs
from wakepoint.runner.v1.runner_service_pb2_grpc import RunnerServiceStub
from wakepoint.trigger.v1.trigger_service_pb2_grpc import TriggerServiceStub


class Client(TriggerVerbs, RunnerVerbs):
    """Both services, for asyncio::

        async with Client() as wp:
            workflow = await wp.create_workflow(experiment_id="digits", name="...", graph={...}, triggers=["TRAIN"])

    Addresses are `host:port`; not given, they come from WAKEPOINT_TRIGGER_ADDRESS and WAKEPOINT_RUNNER_ADDRESS, then
    localhost. `timeout` is the deadline of a call in seconds. Calls that met no service are repeated for a few seconds,
    with keys that make it safe. Methods without a verb here: `await wp.call(wp.triggers.ExplainEvent, request)`.
    """

    def __init__(
        self,
        *,
        trigger_address: str | None = None,
        runner_address: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = 30.0,
    ) -> None:
        super().__init__(timeout)
        self._addresses = (trigger_address, runner_address)
        self._credentials = credentials
        self._channels: list[grpc.aio.Channel] = []

    async def __aenter__(self) -> Self:
        # Channels belong to the loop that runs when they are made, so not in the constructor.
        triggers, runner = trigger_address(self._addresses[0]), runner_address(self._addresses[1])
        self._channels = [open_channel(address, self._credentials) for address in (triggers, runner)]
        self.triggers = TriggerServiceStub(self._channels[0])
        self.runner = RunnerServiceStub(self._channels[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close(grace=None)
