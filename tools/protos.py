"""Generates the Python code of protos/, and checks that it is current and that the API stays what was promised.

    python tools/protos.py generate   write wakepoint/*/v1/*_pb2*.py, and stubs there and in typings/
    python tools/protos.py check      fail when those are stale, on a lint or format complaint, or on a breaking change
    python tools/protos.py release    keep the API as it is now as the promise that later changes are checked against

Needs grpcio-tools, mypy-protobuf and buf-bin in the environment that runs it, or else in .venv. Uses no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PROTOS: Final = ROOT / "protos"
TREES: Final = ("wakepoint", "typings")
# What our code names of others' and mypy cannot find where it is installed; see mypy_path in pyproject.toml.
FOREIGN: Final = (
    "google/api/annotations.proto",
    "google/api/http.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
)
RELEASES: Final = ROOT / ".proto-release"
GENERATED: Final = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


class ProtoError(Exception):
    """What is wrong, and what to do about it, for the person at the terminal."""


def _bin() -> Path:
    """Where python and the tools live: this environment if it has them, else the project's own."""
    if find_spec("grpc_tools") is not None:
        return Path(sys.executable).parent
    own = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    if not own.is_dir():
        raise ProtoError("grpcio-tools is missing here and there is no .venv; run: python3 dev.py install")
    return own


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """The tool's exit status and all that it said, in stdout. ProtoError when there is no such tool."""
    tools = _bin()
    # protoc finds its plugins on the PATH.
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        return subprocess.run(
            [str(tools / command[0]), *command[1:]],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError as missing:
        raise ProtoError(f"{tools / command[0]} is missing; run: python3 dev.py install") from missing


def _sources(suffix: str = ".proto") -> list[str]:
    return sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob(f"*{suffix}"))


def _protoc(*arguments: str) -> None:
    """Compile. The google/*.proto files are those that googleapis-common-protos and grpcio-tools install."""
    where = _run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    done = _run("python", "-m", "grpc_tools.protoc", "-I", str(PROTOS), "-I", where, *arguments)
    if done.returncode:
        raise ProtoError(f"protoc refuses the protos:\n{done.stdout}")


def _wanted() -> dict[str, bytes]:
    """What the generated code should be, by path."""
    with tempfile.TemporaryDirectory() as target:
        _protoc(f"--python_out={target}", f"--mypy_out=quiet:{target}", *_sources())
        # Files without a service would only yield modules without content. Concrete stubs: a servicer may leave methods
        # out, which then answer UNIMPLEMENTED.
        grpc = (f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{target}")
        _protoc(*grpc, *_sources("_service.proto"))
        typings = Path(target, "typings")
        typings.mkdir()
        _protoc(f"--mypy_out=quiet:{typings}", *FOREIGN)
        return _generated(Path(target))


def _generated(root: Path) -> dict[str, bytes]:
    """What each generated file below root holds, by path."""
    found = (path for tree in TREES for pattern in GENERATED for path in (root / tree).rglob(pattern))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _stale(wanted: dict[str, bytes]) -> list[str]:
    present = _generated(ROOT)
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def generate() -> list[str]:
    """Bring the generated code up to date, touching only the files that it returns."""
    wanted = _wanted()
    stale = _stale(wanted)
    for name in stale:
        if name not in wanted:
            (ROOT / name).unlink()
            continue
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_bytes(wanted[name])
    return stale


def check_generated() -> None:
    """ProtoError names each generated file that does not follow from protos/."""
    if stale := _stale(_wanted()):
        raise ProtoError("\n  ".join(["generated code is stale; run: python3 dev.py proto", *stale]))


def check_protos() -> None:
    """ProtoError on a stray file, a lint or format complaint, or a change that breaks the last release."""
    strays = sorted(path.name for path in PROTOS.rglob("*") if path.is_file() and path.suffix != ".proto")
    if strays:
        raise ProtoError(f"protos/ holds .proto files and nothing else, but there is {', '.join(strays)}")
    with tempfile.TemporaryDirectory() as directory:
        image = str(Path(directory) / "image.binpb")
        _write_image(image, "--include_source_info")
        config = ("--config", "buf.yaml")
        _buf("buf lint complains", "lint", image, *config)
        _buf("buf format complains; run: buf format -w protos", "format", "--diff", "--exit-code", "protos")
        _buf("the API breaks its last release", "breaking", image, "--against", str(_last_release()), *config)


def _write_image(target: str, *options: str) -> None:
    _protoc("--include_imports", *options, f"--descriptor_set_out={target}", *_sources())


def _buf(complaint: str, *arguments: str) -> None:
    done = _run("buf", *arguments)
    if done.returncode:
        raise ProtoError(f"{complaint}:\n{done.stdout}")


def _last_release() -> Path:
    images = sorted(RELEASES.glob("*.binpb"), key=lambda path: [int(part) for part in path.stem.split(".")])
    if not images:
        raise ProtoError(f"no descriptor image of a release in {RELEASES}")
    return images[-1]


def release() -> None:
    """Store the image of the API as it is now, under the version in pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    RELEASES.mkdir(exist_ok=True)
    _write_image(str(RELEASES / f"{version}.binpb"))


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 1 a complaint (on stderr), 2 not understood."""
    try:
        match arguments:
            case ["generate"]:
                print("\n".join(generate()) or "generated code is up to date")
            case ["check"]:
                check_generated()
                check_protos()
            case ["release"]:
                release()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except ProtoError as error:
        print(f"protos: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
