"""The account that runs PostgreSQL for `./dev run` and for tests, when several processes need it at once."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from development import postgres
from development.postgres import PostgresFailed

MADE = pwd.struct_passwd((postgres.USER, "x", 995, 995, "", "/home/pgserver", "/usr/sbin/nologin"))


class Machine:
    """The accounts of a machine, on which another process may create the account after the first look."""

    def __init__(self, lock: Path, *, others_look: int | None = None, status: int = 0) -> None:
        self.looks: list[bool] = []  # whether the lock was held at each
        self.created = 0
        self._lock, self._others_look, self._status = lock, others_look, status

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        assert name == postgres.USER
        self.looks.append(self._is_locked())
        if self.created or len(self.looks) == self._others_look:
            return MADE
        raise KeyError(name)

    def run(self, command: list[str], **_settings: object) -> subprocess.CompletedProcess[str]:
        assert command[0] == "useradd"
        assert self._is_locked()
        self.created += not self._status
        return subprocess.CompletedProcess(command, self._status, "", "useradd: no more UIDs")

    def _is_locked(self) -> bool:
        if not self._lock.exists():
            return False
        with self._lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def place(patch: pytest.MonkeyPatch, lock: Path, machine: Machine) -> None:
    patch.setattr(os, "geteuid", lambda: 0)
    patch.setattr(postgres, "ACCOUNT_LOCK", lock)
    patch.setattr(pwd, "getpwnam", machine.getpwnam)
    patch.setattr(subprocess, "run", machine.run)


def test_a_missing_account_is_created_by_one_process_at_a_time(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    machine = Machine(lock)
    place(monkeypatch, lock, machine)
    assert postgres.account() is MADE
    assert machine.created == 1
    assert machine.looks == [False, True, True]  # again with the lock, before the account is created


def test_an_account_created_meanwhile_is_not_replaced(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    machine = Machine(lock, others_look=2)
    place(monkeypatch, lock, machine)
    assert postgres.account() is MADE
    assert machine.created == 0


def test_a_refused_account_names_the_reason(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    place(monkeypatch, lock, Machine(lock, status=1))
    with pytest.raises(PostgresFailed, match="no more UIDs"):
        postgres.account()
