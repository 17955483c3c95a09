"""Gives up root's privileges where another user owns a daemon's state."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def become_owner(folder: Path) -> None:
    """Root continues as the user who owns the folder, as systemd starts the daemon; others keep their user.

    PostgreSQL knows that user, and the daemon could not read files of root there. HOME is the user's too: the client of
    PostgreSQL looks for certificates in it, and fails if it may not.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    try:
        user = pwd.getpwuid(owner.st_uid)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.environ["HOME"] = user.pw_dir
    except KeyError:
        os.setgroups([])
        os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
