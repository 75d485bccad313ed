#!/usr/bin/env python3
"""Everything a developer does with this repository: `python3 dev.py COMMAND [ARGUMENTS]`.

  install       make or renew .venv from the hashed lock
  run           the whole idea on real data, on this machine (WAKEPOINT_KEEP=0: end by itself)
  test          the checks and all tests; with arguments, only pytest with these
  check         style, types, floors, dependencies, locks, protos, deploy files
  proto         generate the code from protos/
  bench         the benchmarks (bench-quick: in short)
  chaos         kill, pause and cut off until something breaks
  docs          build the documentation
  deploy-check  render and validate what is in deploy/

Any Python 3 may start this file: it finds one that is new enough, installs what the lock names into .venv, and goes on
there with tools/tasks.py. WAKEPOINT_PYTHON names the interpreter to build with, WAKEPOINT_VENV another place than
.venv. Standard library only, and nothing that Python 3.6 cannot parse.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from typing import Dict, Iterator, List, Optional, Tuple

OLDEST, NEWEST = (3, 11), (3, 14)  # NEWEST: the last one for which every locked package has a wheel
ROOT = os.path.dirname(os.path.abspath(__file__))
LOCK = os.path.join(ROOT, "requirements.lock")
VENV = os.path.abspath(os.environ.get("WAKEPOINT_VENV") or os.path.join(ROOT, ".venv"))
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, ".made-by-dev-py")


class Refusal(Exception):
    """What to tell the user before giving up."""


def wanted_stamp() -> List[str]:
    """What a finished environment says of itself: which lock, place and metadata of the project it was built for."""
    digests = []
    for name in (LOCK, os.path.join(ROOT, "pyproject.toml")):
        with open(name, "rb") as file:
            digests.append(hashlib.sha256(file.read() + ROOT.encode()).hexdigest())
    return digests


def found_stamp() -> List[str]:
    if not os.path.exists(PYTHON):
        return []
    try:
        with open(STAMP) as file:
            return file.read().split()
    except OSError:
        return []


def write_stamp(words: List[str]) -> None:
    with open(STAMP + ".new", "w") as file:
        file.write("\n".join(words) + "\n")
    os.replace(STAMP + ".new", STAMP)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Two builds of one environment at a time would spoil both: the second waits, and then finds it finished."""
    os.makedirs(os.path.dirname(VENV), exist_ok=True)
    with open(VENV + ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def version_of(python: str) -> Tuple[Optional[str], Tuple[int, int]]:
    """The real path and version of an interpreter; (None, (0, 0)) for what is none, as a shim without one."""
    code = "import sys; print('%d %d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))"
    try:
        output = subprocess.check_output([python, "-c", code], stderr=subprocess.DEVNULL).decode()
        major, minor, executable = output.strip().split(" ", 2)
        return executable, (int(major), int(minor))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None, (0, 0)


def find_python() -> Optional[str]:
    if os.environ.get("WAKEPOINT_PYTHON"):
        python, version = version_of(os.environ["WAKEPOINT_PYTHON"])
        if version < OLDEST:
            raise Refusal("WAKEPOINT_PYTHON is no Python %d.%d or newer." % OLDEST)
        return python
    names = ["python%d.%d" % (3, minor) for minor in range(NEWEST[1], OLDEST[1] - 1, -1)] + ["python3", "python"]
    spare = None
    for name in [sys.executable] + names:
        python, version = version_of(name)
        # An interpreter inside the environment goes when that is rebuilt.
        if python is None or version < OLDEST or os.path.abspath(python).startswith(VENV + os.sep):
            continue
        if version <= NEWEST:
            return python
        spare = spare or python
    return spare


def quiet(*command: str) -> bool:
    """Runs a command in silence, and shows what it said if it failed."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.communicate()[0]
    if process.returncode:
        sys.stderr.write(output.decode(errors="replace")[-4000:])
    return process.returncode == 0


def install_with(*installer: str) -> bool:
    """The locked packages, then the project itself, whose builder is one of them."""
    return quiet(*(installer + ("--require-hashes", "-r", LOCK))) and install_project(*installer)


def install_project(*installer: str) -> bool:
    return quiet(*(installer + ("--no-deps", "--no-build-isolation", "-e", ROOT)))


def installer_of_host(python: str) -> Optional[List[str]]:
    """A pip outside the environment that can install into it, as pip can since 22.3."""
    for pip in ([python, "-m", "pip"], ["pip3"], ["pip"]):
        command = pip + ["--python", PYTHON, "install"]
        with contextlib.suppress(OSError), open(os.devnull, "w") as void:
            if subprocess.call(command + ["--help"], stdout=void, stderr=void) == 0:
                return command
    return None


def populate(python: Optional[str]) -> None:
    uv = shutil.which("uv")
    if uv:
        wanted = python or "%d.%d" % OLDEST  # uv fetches one if it must
        made = quiet(uv, "venv", "-q", "--allow-existing", "--python", wanted, VENV)
        if made and install_with(uv, "pip", "install", "-q", "--python", PYTHON):
            return
        say("uv failed as above; going on with venv and pip")
    if python is None:
        raise Refusal("No Python %d.%d or newer was found. On Debian 12 or newer: apt install python3-venv" % OLDEST)
    if subprocess.call([python, "-c", "import venv, ensurepip"], stderr=subprocess.DEVNULL) == 0:
        if quiet(python, "-m", "venv", VENV) and install_with(PYTHON, "-m", "pip", "install", "-q"):
            return
        raise Refusal("Installing from %s failed; the reason stands above." % LOCK)
    with_pip = None
    if quiet(python, "-m", "venv", "--without-pip", VENV):
        with_pip = installer_of_host(python)
    if with_pip is None:
        package = "python%d.%d-venv" % version_of(python)[1]
        raise Refusal("This Python can make no environment with pip. On Debian and Ubuntu: apt install " + package)
    if not install_with(*(with_pip + ["-q"])):
        raise Refusal("Installing from %s failed; the reason stands above." % LOCK)


def rebuild() -> None:
    if os.path.isdir(VENV) and os.listdir(VENV) and not os.path.exists(STAMP):
        raise Refusal("%s was not made by dev.py: remove it, or name another place in WAKEPOINT_VENV." % VENV)
    python = find_python()
    say("building %s with %s" % (VENV, python or "a Python that uv finds"))
    start = time.time()
    os.makedirs(VENV, exist_ok=True)
    write_stamp(["unfinished"])
    for entry in os.scandir(VENV):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.path != STAMP:
            os.remove(entry.path)
    populate(python)
    say("built in %d s" % (time.time() - start))


def ensure_environment() -> None:
    """Leaves a finished environment. Its stamp is written last: one whose building was cut off is built anew."""
    if found_stamp() == wanted_stamp():
        return
    with exclusive():
        found, wanted = found_stamp(), wanted_stamp()
        if found == wanted:
            return
        if found[:1] != wanted[:1]:
            rebuild()
        elif not reinstall_project():
            raise Refusal("Installing the project failed; the reason stands above.")
        write_stamp(wanted)


def reinstall_project() -> bool:
    """The project's metadata (its commands, its entry points) changed, the lock did not."""
    uv = shutil.which("uv") or os.path.join(VENV, "bin", "uv")
    return install_project(uv, "pip", "install", "-q", "--python", PYTHON)


def say(text: str) -> None:
    print("dev.py: " + text, file=sys.stderr, flush=True)


def activated() -> Dict[str, str]:
    """As activating the environment does: its tools are found first."""
    path = os.path.join(VENV, "bin") + os.pathsep + os.environ.get("PATH", os.defpath)
    variables = dict(os.environ, VIRTUAL_ENV=VENV, PATH=path)
    variables.pop("PYTHONHOME", None)
    return variables


def main(arguments: List[str]) -> int:
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        ensure_environment()
    except (Refusal, OSError) as error:
        say(str(error))
        return 1
    if arguments == ["install"]:
        say("%s is ready" % VENV)
        return 0
    return os.execve(PYTHON, [PYTHON, os.path.join(ROOT, "tools", "tasks.py")] + arguments, activated())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
