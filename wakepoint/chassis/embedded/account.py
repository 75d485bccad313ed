"""Which user runs the server. Postgres refuses root, and initdb refuses a user without a passwd entry."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from wakepoint.chassis.embedded.problems import EmbeddedError

_PREFERRED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user that is not the present one."""

    name: str
    uid: int
    gid: int


def server_account(pgdata: Path) -> Account | None:
    """The user to run the server as: None means the present one.

    For root: whoever owns the data already, else `postgres`, else `nobody`, else the first other user. Raises
    EmbeddedError when there is no suitable one.
    """
    if os.geteuid() != 0:
        _require_entry(os.geteuid())
        return None
    if pgdata.exists():
        return _owner(pgdata)
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (*_PREFERRED, *entries):
        if name in entries:
            return Account(name, entries[name].pw_uid, entries[name].pw_gid)
    raise EmbeddedError(
        "Postgres does not run as root, and this system has no other user; add one (useradd -r postgres)"
    )


def _owner(pgdata: Path) -> Account:
    uid = pgdata.stat().st_uid
    if uid == 0:
        raise EmbeddedError(
            f"{pgdata} belongs to root, which Postgres refuses; give it to an unprivileged user (chown -R)"
        )
    _require_entry(uid)
    entry = pwd.getpwuid(uid)
    return Account(entry.pw_name, uid, entry.pw_gid)


def _require_entry(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"user id {uid} has no entry in the passwd database, which Postgres's initdb needs"
        ) from None


def first_closed_folder(path: Path, account: Account) -> Path | None:
    """The first folder on the way to `path`, from the top, that `account` may not enter; None when the way is open.

    `path` itself counts when it is a folder. Looks at owner and mode; supplementary groups are dropped for the server.
    """
    resolved = path.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        if not folder.is_dir():
            continue
        found = folder.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            return folder
    return None
