"""Three commands to try on the stack that the story leaves."""

from __future__ import annotations

from wakepoint.chassis.protojson import struct_to_python
from wakepoint.cli.demo.scene import Scene
from wakepoint.cli.demo.story import Story
from wakepoint.cli.demo.telling import Teller
from wakepoint.cli.demo.words import grpcurl

_REPORT = "wakepoint.trigger.v1.TriggerService/ReportJobEvent"
_LIST_SUSPENDED = "wakepoint.runner.v1.RunnerService/ListSuspended"


async def tell_what_next(scene: Scene, story: Story, teller: Teller) -> None:
    """The commands, with the real addresses and ids, and where people look."""
    triggers, runner = scene.stack.addresses["trigger"], scene.stack.addresses["runner"]
    run = await scene.client.get_run(story.run_id)
    job = {**_job(struct_to_python(run.input)), "experiment_id": scene.experiment_id, "job_id": "by-hand"}
    teller.chapter("Three commands to try next")
    teller.say("Report that training again, as another job: a second run evaluates the model and waits.")
    teller.command(grpcurl(triggers.grpc, _REPORT, {"event": job}))
    teller.say("See it wait. Its metadata has a webhook_url: open that in a browser, or approve as above.")
    teller.command(grpcurl(runner.grpc, _LIST_SUSPENDED, {"experiment_id": scene.experiment_id}))
    teller.say("Look at the workflow and its triggers.")
    teller.command(f"curl -s http://{triggers.http}/workflows/{story.workflow_id}")
    teller.fact("HTTP", f"http://{triggers.http}", f"runner http://{runner.http}")


def _job(run_input: dict[str, object]) -> dict[str, object]:
    job = run_input["job"]
    assert isinstance(job, dict)
    return {name: job[name] for name in ("job_type", "job_name", "status", "attributes")}
