"""The command line itself."""

import importlib.metadata

from typer.testing import CliRunner

from wakepoint.cli import app


def test_the_version_is_the_distributions() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"wakepoint {importlib.metadata.version('wakepoint')}\n")


def test_help_names_the_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert " up " in result.stdout


def test_a_nodes_file_must_exist() -> None:
    result = CliRunner().invoke(app, ["up", "--nodes", "/no/such/file.py"])
    assert result.exit_code == 2
