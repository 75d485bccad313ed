"""PublishEvent: told once to every wait for a topic, in the inboxes after the acknowledgement."""

from dataclasses import dataclass
from datetime import timedelta

from runner_service.domain.listening import topic_problem
from runner_service.domain.trigger_events import MAX_EVENT_BYTES, TriggerEvent, faults_of, size_of
from runner_service.storage import topics
from runner_service.storage.topics import NewPublication, Published
from runner_service.usecases.signals import Signals
from wakepoint.chassis import failpoints
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import Aborted, FieldViolation, Violations
from wakepoint.chassis.protojson import check_text

KNOWN_FOR = timedelta(days=1)
"""How long a repetition is recognised, if the event is not retained for longer."""
LONGEST_TTL = timedelta(days=366)
MAX_EXPERIMENT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Publication:
    """An event for a topic. `ttl` None: only for waits that are there.

    `faults`: what was found wrong while the request was read; the caller is told all of it at once.
    """

    experiment_id: str
    topic: str
    event: TriggerEvent
    ttl: timedelta | None = None
    faults: tuple[FieldViolation, ...] = ()


async def publish_event(database: Database, signals: Signals, request: Publication) -> Published:
    """Publish an event from outside; a repetition is answered as the first time. InvalidArgument."""
    _check(request)
    return await publish(database, signals, request)


async def publish(database: Database, signals: Signals, request: Publication) -> Published:
    """Publish an event that is known to be sound. When this returns, everybody it reaches has it in writing."""
    new = NewPublication(
        request.experiment_id,
        request.topic,
        request.event,
        size_of(request.event),
        request.ttl,
        KNOWN_FOR,
    )
    published = await database.run(lambda connection: _publish(connection, new))
    failpoints.hit("runner.publish.after_commit")
    if published.woken_count:
        signals.fan_out_grew()
    return published


async def _publish(connection: Connection, new: NewPublication) -> Published:
    if new.ttl is not None:
        # Whoever registers a wait now either has committed it, and is seen below, or waits and finds the event.
        await topics.lock_topics(connection, [(new.experiment_id, new.topic)])
    # A statement of its own: it sees what the lock was waited for.
    published = await topics.publish(connection, new)
    # And so is this one: it sees what a concurrent repetition has committed while the insert waited for it.
    published = published or await topics.get_published(connection, new)
    failpoints.hit("runner.publish.before_commit")
    if published is None:
        raise Aborted("the event was published before and is forgotten just now", reason="PUBLICATION_FORGOTTEN")
    return published


def _check(request: Publication) -> None:
    violations = Violations()
    if not request.experiment_id:
        violations.add("experiment_id", "must not be empty")
    elif len(request.experiment_id.encode("utf-8", "surrogatepass")) > MAX_EXPERIMENT_BYTES:
        violations.add("experiment_id", f"must have at most {MAX_EXPERIMENT_BYTES} bytes")
    if (problem := topic_problem(request.topic)) is not None:
        violations.add("topic", problem)
    for name in ("experiment_id", "topic"):
        check_text(getattr(request, name), name, violations)
    if request.ttl is not None and not timedelta(0) < request.ttl <= LONGEST_TTL:
        violations.add("ttl", f"must be longer than 0 and at most {LONGEST_TTL.days} days; leave it out for none")
    faults = Violations()
    check_text(request.event.as_node_sees_it(), "event", faults)
    if not len(faults) and (size := size_of(request.event)) > MAX_EVENT_BYTES:
        faults.add("event.payload", f"the event has {size} bytes, more than {MAX_EVENT_BYTES}: pass a URI instead")
    violations.extend(faults)
    violations.extend(faults_of(request.event))
    violations.extend(request.faults)
    violations.raise_if_any()
