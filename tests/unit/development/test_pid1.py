"""As process 1 of a PID namespace, a run reaps orphans and handles signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may create a PID namespace"),
]

_SCRIPT = """
import os, signal, subprocess, sys, time
from development import pid1
{first}
pid1.fork_if_pid1()
assert os.getpid() != 1
{rest}
"""


@contextmanager
def run_as_pid1(rest: str, *, first: str = "") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", _SCRIPT.format(first=first, rest=rest)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            yield run
        finally:
            run.kill()  # and its children with it; leaving the block waits for it


def test_an_orphan_is_reaped() -> None:
    # The shell ends before its child, which becomes a child of process 1.
    with run_as_pid1(
        "orphan = int(subprocess.check_output(['sh', '-c', 'sleep 0.1 >&- & echo $!']))\n"
        "try:\n"
        "    while True: os.kill(orphan, 0); time.sleep(0.01)\n"
        "except ProcessLookupError: print('reaped', flush=True)"
    ) as run:
        output, _ = run.communicate(timeout=60)
    assert (output, run.returncode) == ("reaped\n", 0)


def test_pid1_exits_with_the_status_of_the_run() -> None:
    with run_as_pid1("sys.exit(3)") as run:
        assert run.wait(60) == 3


_BUSY = """
def late(*args):
    if os.getpid() == 1: time.sleep(0.3)
    return set_handler(*args)
set_handler, signal.signal = signal.signal, late
"""


@pytest.mark.parametrize("first", ["", _BUSY], ids=["at once", "before the handlers"])
async def test_sigterm_is_forwarded_to_the_run(first: str) -> None:
    with run_as_pid1(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\nprint('ready', flush=True)\nsignal.pause()", first=first
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        process_1 = int(await eventually(children.read_text))
        os.kill(process_1, signal.SIGTERM)
        assert run.wait(60) == 5
