"""What a waiting node listens to besides its own inbox: topics, and the job events of an experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from wakepoint.chassis.errors import FieldViolation

MAX_TOPIC_BYTES = 500
"""It stands in the key of an index, beside an experiment and an event's identity."""
MAX_TOPICS = 100
"""Of one node."""
ANY_TYPE = ""
JOB_EVENTS_TOPIC = ""
"""The job events of an experiment are its topic without a name."""

Topic = tuple[str, str]
"""An experiment and the name of a topic in it."""


class ConditionError(ValueError):
    """A condition has no boolean value for this job; the text says why."""


Holds = Callable[[str], bool]
"""Whether a condition holds for the job at hand; raises ConditionError."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which job events wake a node. No `job_types`: any; an empty pattern or condition: no matter. `since`: events that
    occurred earlier do not count, whenever they are delivered.
    """

    experiment_id: str
    since: datetime
    job_types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ("COMPLETE",)
    job_name_pattern: str = ""
    condition: str = ""

    @property
    def index_types(self) -> tuple[str, ...]:
        """The job types under which the filter is found."""
        return self.job_types or (ANY_TYPE,)


@dataclass(frozen=True, slots=True)
class Listening:
    """What one node listens to from its wait on. `room`: at most so many earlier job events concern it; None: all."""

    node_id: str
    experiment_id: str
    topics: tuple[str, ...] = ()
    jobs: JobFilter | None = None
    room: int | None = None

    @property
    def locks(self) -> tuple[Topic, ...]:
        """The topics that must be locked before it is registered."""
        own = tuple((self.experiment_id, topic) for topic in self.topics)
        return own if self.jobs is None else (*own, (self.jobs.experiment_id, JOB_EVENTS_TOPIC))


def lets_through(job_name_pattern: str, condition: str, job_name: str, holds: Holds) -> bool:
    """What no index can say of a filter: whether pattern and condition fit. The condition, which costs more, comes last
    and only where it is needed; one without a value for this job does not fit.
    """
    if job_name_pattern and not fnmatchcase(job_name, job_name_pattern):
        return False
    if not condition:
        return True
    try:
        return holds(condition)
    except ConditionError:
        return False


def topic_faults(topics: Sequence[str]) -> list[FieldViolation]:
    """Why a node cannot listen to these topics."""
    if len(topics) > MAX_TOPICS:
        return [FieldViolation("topics", f"must be at most {MAX_TOPICS}, not {len(topics)}")]
    return [
        FieldViolation(f"topics[{index}]", problem)
        for index, topic in enumerate(topics)
        if (problem := topic_problem(topic)) is not None
    ]


def topic_problem(topic: str) -> str | None:
    """Why nothing can be published under this name, or None."""
    if not topic:
        return "must not be empty"
    if len(topic.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        return f"must have at most {MAX_TOPIC_BYTES} bytes"
    return None
