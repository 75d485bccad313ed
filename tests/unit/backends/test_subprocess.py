"""The subprocess backend with real processes, without a runner."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner_service.backends import supervise
from runner_service.backends.subprocess import SubprocessBackend
from runner_service.domain.jobs import Job
from tests.support.conditions import eventually
from wakepoint.chassis.ids import new_id
from wakepoint.nodes.backends import CannotStart, JobResult, JobSurroundings


def job(code: str = "", *, handle: Mapping[str, Any] | None = None, attempt: int = 1, **spec: Any) -> Job:
    whole = {"command": [sys.executable, "-c", code], "env": {}, "input": {"n": 1}, **spec}
    return Job(new_id(), "r1", "j", "0", "e1", "EVAL", "j", "subprocess", whole, handle, attempt, 0, "", False)


async def started(backend: SubprocessBackend, one: Job) -> Job:
    await backend.start(one, JobSurroundings(one.run_id, one.job_id, one.experiment_id))
    return one


async def ended(backend: SubprocessBackend, one: Job) -> JobResult:
    async def poll() -> JobResult:
        result = await backend.poll(one)
        assert result is not None
        return result

    return await eventually(poll)


def file_of(folder: Path, one: Job, name: str) -> Path:
    return folder / one.job_id / str(one.attempt) / name


def supervisor_of(folder: Path, one: Job) -> int:
    return int(json.loads(file_of(folder, one, supervise.PROCESS).read_text())["pid"])


def running_of(one: Job) -> list[int]:
    """Whatever has inherited the job's id."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WAKEPOINT_JOB_ID") == one.job_id and process.status() != "zombie":
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def backend(tmp_path: Path) -> SubprocessBackend:
    return SubprocessBackend(tmp_path, {"PATH": os.environ["PATH"], "COLOUR": "red"})


SUPERVISE = (sys.executable, "-I", supervise.__file__)
WRITE = "import json,os;json.dump({value}, open(os.environ['WAKEPOINT_OUTPUT'],'w'))"
SLEEP = "import time;print('up',flush=True);time.sleep(60)"
GRANDCHILD = (
    "import subprocess,sys,time;"
    "subprocess.Popen([sys.executable,'-c','import signal,time;signal.signal(15,signal.SIG_IGN);time.sleep(60)']);"
    "subprocess.Popen([sys.executable,'-c','import time;time.sleep(60)'],start_new_session=True);"
    "print('up',flush=True);time.sleep(60)"
)


async def up(folder: Path, one: Job) -> None:
    await eventually(lambda: "up" in file_of(folder, one, "stdout.log").read_text())


async def test_what_a_job_writes_is_its_output_and_its_streams_are_kept(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    code = "import sys;print('out');print('err',file=sys.stderr);" + WRITE.format(value="{'a': 1}")
    one = await started(backend, job(code))
    assert await ended(backend, one) == JobResult("COMPLETE", 0, {"a": 1})
    assert file_of(tmp_path, one, "stdout.log").read_text() == "out\n"
    assert file_of(tmp_path, one, "stderr.log").read_text() == "err\n"


async def test_a_job_sees_the_runners_choice_of_variables_and_none_that_its_node_may_forge(
    backend: SubprocessBackend,
) -> None:
    code = "import json,os;json.dump(dict(os.environ), open(os.environ['WAKEPOINT_OUTPUT'],'w'))"
    one = await started(backend, job(code, env={"COLOUR": "blue", "WAKEPOINT_RUN_ID": "another"}))
    environment = (await ended(backend, one)).output
    assert environment["COLOUR"] == "blue"
    assert environment["WAKEPOINT_RUN_ID"] == "r1"
    assert set(environment) <= {
        *("PATH", "COLOUR", "LC_CTYPE", "WAKEPOINT_INPUT", "WAKEPOINT_OUTPUT"),
        *("WAKEPOINT_RUN_ID", "WAKEPOINT_JOB_ID", "WAKEPOINT_EXPERIMENT_ID"),
    }


async def test_a_failing_job_says_its_exit_code_and_its_last_words(backend: SubprocessBackend) -> None:
    one = await started(backend, job("import sys;sys.stderr.write('x' * 20000 + 'oh no\\0');sys.exit(3)"))
    result = await ended(backend, one)
    assert (result.status, result.exit_code) == ("FAILED", 3)
    assert result.error.endswith("oh no")
    assert len(result.error) < 9000


async def test_a_killed_job_says_by_what(backend: SubprocessBackend) -> None:
    one = await started(backend, job("import os;os.kill(os.getpid(), 9)"))
    assert await ended(backend, one) == JobResult("FAILED", -9, error="killed by SIGKILL")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('x')", "it is no JSON: Expecting value"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('')", "it is no JSON"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'wb').write(b'\"\\xff\"')", "can't decode byte 0xff"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('[NaN]')", "NaN is no JSON"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('[1e999]')", "Out of range float values"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('[\"a\\\\u0000\"]')", "output[0] must not contain NUL"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('\"\\\\ud800\"')", "lone surrogates"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('[' * 30 + ']' * 30)", "nested deeper than 20 levels"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('[' * 200000)", "recursion"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('9' * 5000)", "Exceeds the limit"),
        ("open(os.environ['WAKEPOINT_OUTPUT'],'w').write('\"' + 'x' * 2**20 + '\"')", "more than 1048576 bytes"),
        ("os.mkdir(os.environ['WAKEPOINT_OUTPUT'])", "not an ordinary file"),
        ("os.mkfifo(os.environ['WAKEPOINT_OUTPUT'])", "not an ordinary file"),
        ("os.symlink('/dev/zero', os.environ['WAKEPOINT_OUTPUT'])", "not an ordinary file"),
    ],
)
async def test_output_that_cannot_be_stored_fails_the_job(backend: SubprocessBackend, code: str, why: str) -> None:
    result = await ended(backend, await started(backend, job("import os;" + code)))
    assert (result.status, result.exit_code, result.output) == ("FAILED", 0, None)
    assert result.error.startswith("the job's output cannot be taken: ")
    assert why in result.error


async def test_a_command_that_is_not_there_fails_with_its_name(backend: SubprocessBackend) -> None:
    one = await started(backend, job(command=["no-such-program", "-x"]))
    result = await ended(backend, one)
    assert (result.status, result.exit_code) == ("FAILED", 127)
    assert result.error == "the command cannot be run: [Errno 2] No such file or directory: 'no-such-program'"


async def test_a_command_that_may_not_be_run_fails_with_its_name(backend: SubprocessBackend, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("no program")
    result = await ended(backend, await started(backend, job(command=[str(tmp_path / "data.txt")])))
    assert (result.status, result.exit_code) == ("FAILED", 126)
    assert "Permission denied" in result.error


async def test_starting_twice_starts_one_process(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = await started(backend, job("print('ran');import time;time.sleep(0.2)"))
    # Another runner on the same folder, as after a crash.
    await started(SubprocessBackend(tmp_path, {}), one)
    assert (await ended(backend, one)).status == "COMPLETE"
    await started(backend, one)
    assert file_of(tmp_path, one, "stdout.log").read_text() == "ran\n"


async def test_supervisors_that_race_for_a_folder_run_its_job_once(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = job("print('ran')")
    folder = file_of(tmp_path, one, "")
    folder.mkdir(parents=True)
    backend._write_job(folder, one, JobSurroundings(one.run_id, one.job_id, one.experiment_id))
    racers = [await asyncio.create_subprocess_exec(*SUPERVISE, folder) for _ in range(8)]
    assert [await racer.wait() for racer in racers] == [0] * 8
    assert (await ended(backend, one)).status == "COMPLETE"
    assert file_of(tmp_path, one, "stdout.log").read_text() == "ran\n"


async def test_the_job_is_nobodys_child_and_leads_a_session_of_its_own(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = await started(backend, job(SLEEP))
    await up(tmp_path, one)
    supervisor = psutil.Process(supervisor_of(tmp_path, one))
    (child,) = supervisor.children()
    assert os.getpid() not in [parent.pid for parent in supervisor.parents()[:1]]
    assert os.getsid(child.pid) == child.pid
    assert os.getsid(supervisor.pid) not in (os.getsid(0), child.pid)
    await backend.stop(one)
    await ended(backend, one)


async def test_stopping_ends_the_job_with_everything_that_it_started(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = await started(backend, job(GRANDCHILD))
    await up(tmp_path, one)
    assert len(running_of(one)) == 3
    await backend.stop(one)
    assert await ended(backend, one) == JobResult("STOPPED", -15, error="the job was stopped")
    assert running_of(one) == []


async def test_what_a_job_leaves_behind_ends_with_it(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = await started(backend, job(GRANDCHILD.removesuffix(";time.sleep(60)")))
    assert (await ended(backend, one)).status == "COMPLETE"
    assert running_of(one) == []


async def test_a_job_that_ignores_being_asked_is_killed(
    backend: SubprocessBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import signal,time;signal.signal(15,signal.SIG_IGN);print('up',flush=True);time.sleep(60)"
    one = await started(backend, job(code))
    await up(tmp_path, one)
    begin = time.monotonic()
    await backend.stop(one)
    await backend.stop(one)
    assert await ended(backend, one) == JobResult("STOPPED", -9, error="the job was stopped")
    assert time.monotonic() - begin >= supervise.GRACE_SECONDS


async def test_a_job_that_was_stopped_before_its_start_never_starts(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = job("print('ran')")
    await backend.stop(one)
    await started(backend, one)
    assert (await ended(backend, one)).status == "STOPPED"
    assert not file_of(tmp_path, one, "stdout.log").exists()


async def test_a_supervisor_that_comes_late_finds_that_its_job_is_not_wanted(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = job("print('ran')")
    folder = file_of(tmp_path, one, "")
    folder.mkdir(parents=True)
    backend._write_job(folder, one, JobSurroundings(one.run_id, one.job_id, one.experiment_id))
    (folder / supervise.STOP).touch()
    late = await asyncio.create_subprocess_exec(*SUPERVISE, folder)
    assert await late.wait() == 0
    assert (await ended(backend, one)).status == "STOPPED"
    assert not file_of(tmp_path, one, "stdout.log").exists()


async def test_a_job_that_ended_well_is_complete_although_it_was_to_be_stopped_then(backend: SubprocessBackend) -> None:
    one = await started(backend, job(WRITE.format(value=1)))
    assert (await ended(backend, one)).output == 1
    await backend.stop(one)
    assert (await ended(backend, one)).status == "COMPLETE"


async def test_a_job_whose_supervisor_was_killed_is_gone_and_what_it_left_running_too(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = await started(backend, job(GRANDCHILD))
    await up(tmp_path, one)
    os.kill(supervisor_of(tmp_path, one), signal.SIGKILL)
    result = await ended(backend, one)
    assert result == JobResult("FAILED", error="the job is gone, and nobody saw how it ended", lost=True)
    assert running_of(one) == []
    assert await ended(backend, one) == result


async def test_stopping_a_job_whose_supervisor_was_killed_ends_it(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = await started(backend, job(SLEEP))
    await up(tmp_path, one)
    os.kill(supervisor_of(tmp_path, one), signal.SIGKILL)
    await eventually(lambda: supervise.identity_of(supervisor_of(tmp_path, one)) is None)
    await backend.stop(one)
    assert (await ended(backend, one)).status == "STOPPED"
    assert running_of(one) == []


async def test_a_pid_that_somebody_else_has_got_is_neither_taken_for_the_supervisor_nor_signalled(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = job(SLEEP)
    folder = file_of(tmp_path, one, "")
    folder.mkdir(parents=True)
    # As after a reboot: this test's own process has the pid that the supervisor had.
    (folder / supervise.PROCESS).write_text(json.dumps({"pid": os.getpid(), "identity": "another-boot:1"}))
    assert (await ended(backend, one)).lost
    handler = signal.getsignal(signal.SIGTERM)
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        (folder / supervise.EXIT).unlink()
        await backend.stop(one)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert received == []
    assert (await ended(backend, one)).status == "STOPPED"


async def test_a_job_that_was_started_and_has_no_files_any_more_is_gone(backend: SubprocessBackend) -> None:
    assert await backend.poll(job(SLEEP)) is None
    result = await backend.poll(job(SLEEP, handle={"folder": "x"}))
    assert result is not None
    assert result.lost


async def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="Not a directory"):
        await started(SubprocessBackend(tmp_path / "file", {}), job(SLEEP))


async def test_a_supervisor_that_cannot_write_says_so_and_never_starts_the_job(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    one = job("print('ran')")
    folder = file_of(tmp_path, one, "")
    # Where its lock should be there is a folder: the supervisor cannot take it.
    (folder / supervise.LOCK).mkdir(parents=True)
    with pytest.raises(CannotStart, match=r"its supervisor did not start: .*Is a directory"):
        await started(backend, one)
    assert (folder / supervise.STOP).exists()
    assert not file_of(tmp_path, one, "stdout.log").exists()


async def test_other_users_cannot_read_what_a_job_was_given(backend: SubprocessBackend, tmp_path: Path) -> None:
    one = await started(backend, job(env={"TOKEN": "secret"}))
    assert file_of(tmp_path, one, "").stat().st_mode & 0o077 == 0
    await ended(backend, one)


async def test_files_are_removed_on_request_and_what_still_runs_is_stopped_first(
    backend: SubprocessBackend, tmp_path: Path
) -> None:
    done = await started(backend, job())
    await ended(backend, done)
    running = await started(backend, job(SLEEP))
    await up(tmp_path, running)
    assert sorted(await backend.kept()) == sorted([done.job_id, running.job_id])
    await backend.discard([done.job_id, running.job_id])
    assert await backend.kept() == [running.job_id]
    assert (await ended(backend, running)).status == "STOPPED"
    await backend.discard([running.job_id])
    assert await backend.kept() == []


async def test_a_backend_without_a_folder_keeps_nothing(tmp_path: Path) -> None:
    assert await SubprocessBackend(tmp_path / "later", {}).kept() == []
