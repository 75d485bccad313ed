"""Where the embedded server's data goes by default, and which folders its user may enter."""

import os
from pathlib import Path

import pytest

from wakepoint.chassis.embedded import EmbeddedError, default_data_dir
from wakepoint.chassis.embedded.account import Account, first_closed_folder
from wakepoint.chassis.embedded.location import prepare_data_dir

STRANGER = Account("stranger", 54_321, 54_321)


def test_the_first_closed_folder_from_the_top_is_found(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for folder in (inner, *inner.parents[:1]):
        folder.chmod(0o755)
    (tmp_path / "a").chmod(0o700)
    assert first_closed_folder(inner, STRANGER) in {tmp_path / "a", *tmp_path.parents, tmp_path}
    owner = Account("me", os.geteuid(), os.getegid())
    assert first_closed_folder(inner, owner) is None


def test_new_folders_are_open_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        prepare_data_dir(tmp_path / "x" / "y", None)
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "x" / "y").stat().st_mode & 0o777 == 0o755


def test_a_place_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="cannot create the data directory"):
        prepare_data_dir(tmp_path / "file" / "data", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="for an ordinary user it is always the XDG directory")
def test_root_gets_a_place_that_the_servers_user_can_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_DATA_HOME", str(closed))
    assert default_data_dir() == Path("/var/lib/wakepoint")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert default_data_dir() == Path("/srv/data/wakepoint")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may get another one")
def test_an_ordinary_user_gets_the_xdg_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "wakepoint"
