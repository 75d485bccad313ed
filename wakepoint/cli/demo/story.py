"""The story: what happens, in order, each chapter looking at the services from outside."""

from __future__ import annotations

import json
from typing import Final

import httpx

from wakepoint.chassis.protojson import timestamp_to_datetime
from wakepoint.cli.demo.looking import until
from wakepoint.cli.demo.reader import is_interactive, reader_did
from wakepoint.cli.demo.scene import Scene, is_about, output_of, plain, time_between
from wakepoint.cli.demo.telling import Teller
from wakepoint.cli.demo.words import approve_by_curl, approve_by_grpcurl, entry_in_words
from wakepoint.runner.v1.runner_pb2 import Run, SuspendedNode
from wakepoint.workflow.v1.execution_pb2 import RUN_STATE_COMPLETED, RUN_STATE_SUSPENDED, RunState

_ANSWER: Final = {"decision": "approve", "approver": "ada", "comment": "reads my handwriting"}


class Story:
    """Told once; afterwards `workflow_id` and `run_id` say what it was about."""

    def __init__(self, scene: Scene, teller: Teller) -> None:
        self.workflow_id = self.note_workflow_id = self.run_id = ""
        self._scene, self._tell = scene, teller

    async def tell(self) -> None:
        """All chapters. PromiseBroken at the first fact that is not as promised."""
        await self._store()
        await self._train()
        await self._evaluate()
        waiting = await self._suspend()
        await self._kill()
        await self._start_again(waiting)
        await self._approve(waiting)
        run = await self._resume()
        if "exported" in run.outputs:
            await self._export(run)
            await self._second_workflow()
        else:
            self._tell.say("You rejected the model, so nothing is exported and no release note is written.")
        await self._show_log()

    async def _store(self) -> None:
        self._tell.chapter("Two workflows are stored")
        experiment = self._scene.experiment_id
        self.workflow_id, self.note_workflow_id = await self._scene.script("workflow.py", "--experiment", experiment)
        self._tell.fact("experiment", experiment)
        self._tell.fact("workflow", self.workflow_id, "fires on TRAIN: evaluate -> approval -> export")
        self._tell.fact("workflow", self.note_workflow_id, "fires on EXPORT_MODEL: a release note")

    async def _train(self) -> None:
        self._tell.chapter("A model is trained, and the script reports its job")
        self._tell.say("with report_job('TRAIN', name='digits') as job: ...")
        where = ("--experiment", self._scene.experiment_id, "--folder", str(self._scene.models))
        for line in await self._scene.script("train.py", *where):
            self._tell.say(line)
        firing = await self._scene.dispatched(self.workflow_id)
        self.run_id = firing.run_id
        self._tell.fact("event", firing.event_id, "the job is COMPLETE")
        self._tell.fact("firing", firing.firing_id, time_between(firing))
        self._tell.fact("run", firing.run_id, "started by nobody but the event")
        firings = [one async for one in self._scene.client.list_firings(workflow_id=self.workflow_id)]
        self._tell.promise(len(firings) == 1, "RUNNING and COMPLETE were reported, and one run was started", firings)

    async def _evaluate(self) -> None:
        self._tell.chapter("The run evaluates the model in a process of its own, and is a row while that runs")
        metrics = output_of(await self._scene.entry(self.run_id, "NodeCompleted", "evaluate"))
        self._tell.fact("accuracy", metrics["accuracy"], f"{metrics['correct']} of {metrics['samples']} unseen digits")
        run = await self._scene.client.get_run(self.run_id)
        fired_by = plain(run.input)["job"]["job_id"]
        self._tell.promise(metrics["train_job_id"] == fired_by, f"it was told which job fired it: {fired_by}", metrics)

    async def _suspend(self) -> SuspendedNode:
        self._tell.chapter("It waits for a person, and then it is one row in Postgres and nothing else")
        waiting = await self._scene.suspended_approval(self.workflow_id)
        self._tell.fact("key", waiting.key)
        self._tell.fact("reason", waiting.reason, f"at {timestamp_to_datetime(waiting.suspend_time):%H:%M:%S.%f} UTC")
        self._tell.fact("metadata", json.dumps(plain(waiting.metadata)))
        run = await until("the run suspends", lambda: self._scene.run_in(self.run_id, RUN_STATE_SUSPENDED))
        found = list(run.suspended_node_ids)
        self._tell.promise(found == ["approval"], f"the run is SUSPENDED, after {run.last_seq} log entries", found)
        return waiting

    async def _kill(self) -> None:
        stack = self._scene.stack
        self._tell.chapter("Both services are killed")
        pids = [stack.pid(service) for service in stack.addresses]
        self._tell.command("kill -9 " + " ".join(map(str, pids)))
        if not (is_interactive() and await reader_did(self._tell, self._scene.is_dead)):
            for service in stack.addresses:
                stack.kill(service)
        self._tell.promise(await self._scene.is_dead(), "nothing of either service is left", pids)

    async def _start_again(self, waiting: SuspendedNode) -> None:
        stack, client = self._scene.stack, self._scene.client
        self._tell.chapter("Both are started again")
        for service in stack.addresses:
            stack.start_service(service)
            self._tell.fact(service, f"pid {stack.pid(service)}")
        found = [node async for node in client.list_suspended(workflow_id=self.workflow_id)]
        self._tell.promise(found == [waiting], "the row is still there, and the same to the last bit", found)

    async def _approve(self, waiting: SuspendedNode) -> None:
        self._tell.chapter("A person approves, by HTTP")
        url = str(plain(waiting.metadata)["webhook_url"])
        self._tell.command(approve_by_curl(url, _ANSWER))
        if is_interactive():
            self._tell.say("or")
            self._tell.command(approve_by_grpcurl(self._scene.stack.addresses["runner"].grpc, self.run_id, _ANSWER))
            if await reader_did(self._tell, lambda: self._scene.is_awake(self.run_id)):
                return
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(url, json=_ANSWER)
        self._tell.fact("answer", answer.status_code, answer.text)
        self._tell.promise(answer.status_code == 202, "the approval is stored, and nothing can lose it any more")

    async def _resume(self) -> Run:
        self._tell.chapter("The run goes on where it stood")
        log = [entry async for entry in self._scene.client.watch_run(self.run_id)]
        run = await self._scene.client.get_run(self.run_id)
        self._tell.promise(run.state == RUN_STATE_COMPLETED, "the run is COMPLETED", RunState.Name(run.state))
        counts = {
            "NodeStarted": sum(is_about(entry, "NodeStarted", "evaluate") for entry in log),
            "NodeCompleted": sum(is_about(entry, "NodeCompleted", "evaluate") for entry in log),
            "lines in the evaluations' file": len(self._scene.evaluations()),
        }
        once = set(counts.values()) == {1}
        self._tell.promise(once, "the evaluation ran once, before the kill: so say the log and its own file", counts)
        return run

    async def _export(self, run: Run) -> None:
        exported = plain(run.outputs)["exported"]
        evaluated = plain(run.node_states["evaluate"].outputs)["output"]["accuracy"]
        same = exported["accuracy"] == evaluated
        self._tell.promise(same, f"the export went by that evaluation: accuracy {exported['accuracy']}", evaluated)
        self._tell.fact("exported", exported["export_uri"], f"{exported['bytes']} bytes")
        self._tell.fact("approved by", exported["approved_by"], exported["comment"])

    async def _second_workflow(self) -> None:
        self._tell.chapter("The export was a job too: its completion started the second workflow")
        firing = await self._scene.dispatched(self.note_workflow_id)
        self._tell.fact("firing", firing.firing_id, time_between(firing))
        seen = [entry.seq async for entry in self._scene.client.watch_run(firing.run_id)]
        run = await self._scene.client.get_run(firing.run_id)
        self._tell.fact("run", run.run_id, f"{len(seen)} log entries, caused by {self.run_id}")
        self._tell.promise(run.state == RUN_STATE_COMPLETED, "it is COMPLETED", RunState.Name(run.state))
        self._tell.promise(run.source.depth == 1, "it knows that one run stands before it", run.source.depth)
        self._tell.say(str(plain(run.outputs)["release_note"]))

    async def _show_log(self) -> None:
        self._tell.chapter("The log of the first run, from which all of it can be rebuilt")
        log = [entry async for entry in self._scene.client.list_run_events(self.run_id)]
        self._tell.table([("seq", "time (UTC)", "event", "node", "what"), *map(entry_in_words, log)])
        gapless = [entry.seq for entry in log] == list(range(1, len(log) + 1))
        self._tell.promise(gapless, "the log has no gaps", [entry.seq for entry in log])
