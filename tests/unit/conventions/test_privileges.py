"""Root's commands continue as the user who owns the daemon's state."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root, who can become another user")
PROGRAM = """
import os, sys
from pathlib import Path
from common.process.daemon import become_owner
become_owner(Path(sys.argv[1]))
print(os.getresuid(), os.getresgid(), os.getgroups())
"""


def identity_with(folder: Path) -> str:
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@as_root
def test_root_becomes_the_owner_of_the_state_for_good(tmp_path: Path) -> None:
    user = pwd.getpwnam("nobody")
    os.chown(tmp_path, user.pw_uid, 0)
    uid, gid = user.pw_uid, user.pw_gid
    assert identity_with(tmp_path) == f"({uid}, {uid}, {uid}) ({gid}, {gid}, {gid}) [{gid}]"


@as_root
def test_its_home_is_that_of_the_owner(tmp_path: Path) -> None:
    user = pwd.getpwnam("nobody")
    os.chown(tmp_path, user.pw_uid, 0)
    program = PROGRAM.replace("print(", "print(os.environ['HOME']); (")
    command = [sys.executable, "-P", "-c", program, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == user.pw_dir


@as_root
def test_an_owner_without_a_name_has_no_other_groups(tmp_path: Path) -> None:
    os.chown(tmp_path, 64321, 64322)
    assert identity_with(tmp_path) == "(64321, 64321, 64321) (64322, 64322, 64322) []"


def test_the_user_stays_where_the_state_is_its_own_or_missing(tmp_path: Path) -> None:
    unchanged = f"{os.getresuid()} {os.getresgid()} {os.getgroups()}"
    assert identity_with(tmp_path) == unchanged
    assert identity_with(tmp_path / "missing") == unchanged
