"""What the HTTP face asks of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner_service.domain.trigger_events import TriggerEvent
from runner_service.domain.webhooks import WebhookTarget
from runner_service.usecases.deliver_events import WakeResult


@dataclass(frozen=True, slots=True)
class HookNode:
    """The node that a webhook belongs to: its type and properties as they stand in its run's graph.

    `finished`: its run has ended.
    """

    node_type: str
    properties: Mapping[str, Any]
    workflow_id: str
    finished: bool = False


class Deliver(Protocol):
    """Give an event to the node that a webhook names, as WakeUp does."""

    async def __call__(self, target: WebhookTarget, event: TriggerEvent) -> WakeResult: ...


class NodeOf(Protocol):
    """Find the node that a webhook names; None where there is no such run or node."""

    async def __call__(self, target: WebhookTarget) -> HookNode | None: ...


class SecretOf(Protocol):
    """The secret that a `secret_ref` names; None where the operator set none."""

    def __call__(self, secret_ref: str, /) -> str | None: ...
