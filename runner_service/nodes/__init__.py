"""The node types that come with the runner, one a file; the entry point `builtin` names this package."""

from runner_service.nodes.approval import Approval
from runner_service.nodes.branch import Branch
from runner_service.nodes.constant import Constant
from runner_service.nodes.delay import Delay
from runner_service.nodes.expression import Expression
from runner_service.nodes.interval import Interval
from runner_service.nodes.manual import Manual
from runner_service.nodes.output import Output
from runner_service.nodes.run_job import RunJob
from runner_service.nodes.schedule import Schedule
from runner_service.nodes.webhook import Webhook

__all__ = [
    "Approval",
    "Branch",
    "Constant",
    "Delay",
    "Expression",
    "Interval",
    "Manual",
    "Output",
    "RunJob",
    "Schedule",
    "Webhook",
]
