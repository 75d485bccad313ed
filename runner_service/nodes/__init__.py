"""The node types that come with the runner, one a file; the entry point `builtin` names this package."""

from runner_service.nodes.approval import Approval
from runner_service.nodes.branch import Branch
from runner_service.nodes.constant import Constant
from runner_service.nodes.delay import Delay
from runner_service.nodes.expression import Expression
from runner_service.nodes.http_request import HttpRequest
from runner_service.nodes.interval import Interval
from runner_service.nodes.job_completed import JobCompleted
from runner_service.nodes.manual import Manual
from runner_service.nodes.output import Output
from runner_service.nodes.publish_event import PublishEvent
from runner_service.nodes.run_job import RunJob
from runner_service.nodes.schedule import Schedule
from runner_service.nodes.topic import Topic
from runner_service.nodes.wait_for_all import WaitForAll
from runner_service.nodes.wait_for_any import WaitForAny
from runner_service.nodes.webhook import Webhook

__all__ = [
    "Approval",
    "Branch",
    "Constant",
    "Delay",
    "Expression",
    "HttpRequest",
    "Interval",
    "JobCompleted",
    "Manual",
    "Output",
    "PublishEvent",
    "RunJob",
    "Schedule",
    "Topic",
    "WaitForAll",
    "WaitForAny",
    "Webhook",
]
