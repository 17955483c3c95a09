"""Children of a command: what fails in them stays in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.process import daemon
from common.process.child_process import ChildFailed, Children


def test_a_child_that_cannot_begin_runs_nothing_of_its_parent(tmp_path: Path) -> None:
    """Such as the end of a block in which the parent has lent rights."""
    ended = tmp_path / "ended"

    def fail() -> None:
        raise PermissionError("no log")

    async def work() -> None:
        raise AssertionError("has no log")

    try:
        with pytest.raises(ChildFailed) as failed:
            Children(begin=fail).as_user(None, work)
    finally:
        with ended.open("a") as file:
            file.write(f"{os.getpid()}\n")
    assert ended.read_text() == f"{os.getpid()}\n"
    assert failed.value.status == daemon.FAILED
