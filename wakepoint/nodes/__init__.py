"""What an author of nodes imports: `Node`, `TriggerNode`, `Context` and what they speak of.

A node type is a class; its properties are pydantic fields; `process` does the work and returns the outputs. The runner
finds types by the entry point group `wakepoint.nodes` or in the file given to `wakepoint up --nodes`.
"""

from wakepoint.nodes.context import Context, Host, RunInfo, Webhook
from wakepoint.nodes.errors import NodeError, NodeSuspended, TriggerInactivityTimeout
from wakepoint.nodes.events import TriggerEvent, wake_time_of
from wakepoint.nodes.node import RUN_VARIABLES, Kind, Node, Template, cel_field, fixed_field
from wakepoint.nodes.trigger import TriggerNode

__all__ = [
    "RUN_VARIABLES",
    "Context",
    "Host",
    "Kind",
    "Node",
    "NodeError",
    "NodeSuspended",
    "RunInfo",
    "Template",
    "TriggerEvent",
    "TriggerInactivityTimeout",
    "TriggerNode",
    "Webhook",
    "cel_field",
    "fixed_field",
    "wake_time_of",
]
