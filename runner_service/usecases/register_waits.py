"""Commit a step with which nodes begin, or cease, to listen to topics and job events.

The topics are locked before the run, in a transaction around the step; a step without topics needs none of this.
"""

from collections.abc import Sequence

from runner_service.domain.listening import Listening, Topic, lets_through
from runner_service.storage import fan_out, job_events, steps, topics
from runner_service.storage.steps import Step
from runner_service.usecases.job_conditions import about
from wakepoint.chassis.database import Connection, Database
from wakepoint.chassis.errors import TransactionConflict

PAGE = 500
ATTEMPTS = 5


async def commit_listening_step(database: Database, step: Step) -> bool:
    """Whether the step was committed; False: its fence did not hold, and nothing was written."""
    async with database.transaction() as connection:
        await _share(connection, sorted({lock for node in step.listening for lock in node.locks}))
        if not await steps.commit_steps(connection, [step]):
            return False
        if step.not_listening:
            await topics.stop_listening(connection, step.run_id, step.not_listening)
        if step.listening:
            await _register(connection, step.run_id, step.listening)
        return True


async def _share(connection: Connection, wanted: Sequence[Topic]) -> None:
    """From here on nobody publishes to these topics until this transaction is over."""
    if not wanted:
        return
    for _ in range(ATTEMPTS):
        if len(await topics.share_topics(connection, wanted)) == len(wanted):
            return
        await topics.add_topics(connection, wanted)
    raise TransactionConflict("a topic was removed again and again while a wait for it was registered")


async def _register(connection: Connection, run_id: str, nodes: Sequence[Listening]) -> None:
    # All of them: a node that listened to topics once may listen to none now.
    await topics.listen_to_topics(connection, run_id, nodes)
    for_jobs = [node for node in nodes if node.jobs is not None]
    if not for_jobs:
        return
    fresh = await job_events.listen_for_jobs(connection, run_id, for_jobs)
    for node in for_jobs:
        if node.node_id in fresh:
            await _look_back(connection, run_id, node)


async def _look_back(connection: Connection, run_id: str, node: Listening) -> None:
    """Bring a new wait for jobs what the retained copy has for it, and no more than it can ever take."""
    wanted, after, room = node.jobs, 0, node.room
    assert wanted is not None
    while True:
        page = await job_events.earlier_job_events(connection, run_id, node.node_id, wanted, after=after, limit=PAGE)
        found = [
            (event.publication_id, run_id, node.node_id)
            for event in page
            if lets_through(wanted.job_name_pattern, wanted.condition, event.job["job_name"], about(event.job))
        ]
        await fan_out.add_fan_out(connection, found if room is None else found[:room])
        room = None if room is None else room - len(found)
        if len(page) < PAGE or (room is not None and room <= 0):
            return
        after = page[-1].publication_id
