"""tools/protos.py on a copy of what it reads and writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GRAPH = "protos/wakepoint/workflow/v1/graph.proto"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("protos", ".proto-release", "typings"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("tools/protos.py", "buf.yaml", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for path in (ROOT / "wakepoint").rglob("*_pb2*.py*"):
        if path.suffix in {".py", ".pyi"}:
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path


def protos(tree: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(tree / "tools/protos.py"), command], capture_output=True, text=True, check=False
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def complaint(tree: Path) -> str:
    done = protos(tree, "check")
    assert done.returncode == 1, done
    return done.stderr


def test_what_is_committed_passes(tree: Path) -> None:
    done = protos(tree, "check")
    assert (done.returncode, done.stderr) == (0, "")


def test_generated_code_that_was_edited_is_stale_until_generated_again(tree: Path) -> None:
    edit(tree / "wakepoint/runner/v1/runner_pb2.pyi", "class Run(", "class Run2(")
    (tree / "wakepoint/runner/v1/gone_pb2.py").touch()
    said = complaint(tree)
    assert "stale" in said
    assert "wakepoint/runner/v1/runner_pb2.pyi" in said
    assert "wakepoint/runner/v1/gone_pb2.py" in said
    assert protos(tree, "generate").returncode == 0
    assert protos(tree, "check").returncode == 0


def test_a_new_field_makes_generated_code_stale_but_breaks_nothing(tree: Path) -> None:
    edit(tree / GRAPH, "string target_input = 4;", "string target_input = 4;\n  // For people.\n  string label = 5;")
    assert "wakepoint/workflow/v1/graph_pb2.py" in complaint(tree)
    protos(tree, "generate")
    assert protos(tree, "check").returncode == 0


def test_a_changed_field_breaks_the_last_release_until_that_is_released(tree: Path) -> None:
    edit(tree / GRAPH, "string target_input = 4;", "int32 target_input = 4;")
    protos(tree, "generate")
    said = complaint(tree)
    assert "breaks its last release" in said
    assert '"target_input"' in said
    assert protos(tree, "release").returncode == 0
    assert protos(tree, "check").returncode == 0


def test_a_name_against_the_style_is_refused(tree: Path) -> None:
    edit(tree / GRAPH, "string target_input = 4;", "string target_input = 4;\n  string Label = 5;")
    protos(tree, "generate")
    assert "buf lint complains" in complaint(tree)


def test_bad_formatting_is_refused_and_shown(tree: Path) -> None:
    edit(tree / GRAPH, "  string source = 1;", "    string source = 1;")
    protos(tree, "generate")
    said = complaint(tree)
    assert "buf format complains" in said
    assert "-    string source = 1;" in said


def test_protos_that_do_not_compile_are_refused_with_their_place(tree: Path) -> None:
    edit(tree / GRAPH, "string source = 1;", "strin source = 1;")
    assert "graph.proto:" in complaint(tree)


def test_a_stray_file_among_the_protos_is_refused(tree: Path) -> None:
    (tree / "protos/notes.md").touch()
    assert "notes.md" in complaint(tree)


def test_the_last_release_is_the_newest_by_number(tree: Path) -> None:
    # As text 0.10.0 stands before 0.9.0.
    (tree / ".proto-release/0.9.0.binpb").write_bytes(b"not an image")
    shutil.copy(tree / ".proto-release/0.1.0.binpb", tree / ".proto-release/0.10.0.binpb")
    assert protos(tree, "check").returncode == 0
