"""Children of a command: what fails in them stays in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from common.process import daemon
from common.process.child_process import ChildFailed, Children

ENDS_WITHIN_S = 20


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


# The signal arrives when the child exists and before either process has prepared for it.
_STOPPED_AT_FORK = """
import asyncio, os, signal
from common.process import child_process
fork = os.fork
def stopped_fork():
    child = fork()
    if child:
        os.kill(os.getpid(), signal.SIGTERM)
    return child
os.fork = stopped_fork
try:
    child_process.Children(begin=lambda: None).as_user(None, lambda: asyncio.sleep(3600))
except child_process.ChildFailed:
    print("the child has ended")
finally:
    print("rights taken back")
"""
_STOPPED_BETWEEN_CHILDREN = """
import os, signal
from common.process import child_process
with child_process.stopped_in_order():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        print("rights taken back")
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (_STOPPED_AT_FORK, ["the child has ended", "rights taken back"]),
        (_STOPPED_BETWEEN_CHILDREN, ["rights taken back"]),
    ],
    ids=["at fork", "between children"],
)
def test_a_command_that_is_stopped_ends_its_blocks_and_its_child(script: str, printed: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=ENDS_WITHIN_S)  # when the child has ended, too
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert said.splitlines() == printed
    assert process.returncode != -signal.SIGTERM
