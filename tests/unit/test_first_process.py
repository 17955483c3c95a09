"""In a container of its own, where it is process 1, a run collects orphans and heeds signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a process namespace"),
]

_SCRIPT = """
import os, signal, subprocess, sys, time
from development import first_process
first_process.hand_over()
assert os.getpid() != 1
{rest}
"""


def as_first_process(rest: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", _SCRIPT.format(rest=rest)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_orphan_is_collected() -> None:
    # The shell ends before its child does: the child is process 1's then.
    with as_first_process(
        "orphan = int(subprocess.check_output(['sh', '-c', 'sleep 0.1 >&- & echo $!']))\n"
        "try:\n"
        "    while True: os.kill(orphan, 0); time.sleep(0.01)\n"
        "except ProcessLookupError: print('collected', flush=True)"
    ) as run:
        said, _ = run.communicate(timeout=20)
    assert (said, run.returncode) == ("collected\n", 0)


def test_the_status_is_that_of_the_run() -> None:
    with as_first_process("sys.exit(3)") as run:
        assert run.wait(20) == 3


async def test_a_request_to_stop_reaches_the_run() -> None:
    with as_first_process(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\nprint('ready', flush=True)\nsignal.pause()"
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        first = int(await eventually(children.read_text))
        os.kill(first, signal.SIGTERM)
        assert run.wait(20) == 5
