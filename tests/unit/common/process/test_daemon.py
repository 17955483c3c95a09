"""Start and end of a daemon. Each run has its own process, because a process installs one reactor."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys

import pytest

from common.errors import BadSettings
from common.process.daemon import check_installation, freeze_gc

_PROGRAM = """
import asyncio, sys, threading
from common.process import daemon
from common.errors import BadSettings, DriverFailed

daemon.install_reactor()

async def work():
{work}

daemon.hard_exit(daemon.run(work()))
"""


def run(work: str, *, number: signal.Signals | None = None) -> tuple[int, str, str]:
    """Returns status, output and errors of a daemon that does `work`; `number` is sent when it prints `started`."""
    program = _PROGRAM.format(work="\n".join(f"    {line}" for line in work.splitlines()))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    started = process.stdout.readline() if number else ""
    if number:
        process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    return process.returncode, started + output, errors


def test_success_is_status_0() -> None:
    assert run("print('done')") == (0, "done\n", "")


def test_an_innkeeper_error_is_one_line_and_status_1() -> None:
    assert run("raise DriverFailed('The host rejected the call.')") == (1, "", "The host rejected the call.\n")


def test_bad_settings_are_status_2() -> None:
    assert run("raise BadSettings('http_port is taken.')") == (2, "", "http_port is taken.\n")


def test_a_bug_is_logged_with_traceback_and_status_1() -> None:
    status, output, errors = run("1 / 0")
    assert status == 1
    assert "ZeroDivisionError" in output + errors
    assert "daemon_failed" in output + errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_interrupt_the_shutdown(number: signal.Signals) -> None:
    work = """\
try:
    print('started', flush=True)
    await asyncio.Event().wait()
finally:
    await asyncio.sleep(0.05)
    print('shut down')"""
    assert run(work, number=number) == (0, "started\nshut down\n", "")


def test_deadlines_hold_in_the_shutdown() -> None:
    work = """\
try:
    print('started', flush=True)
    await asyncio.Event().wait()
finally:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        print('not closed in time')"""
    assert run(work, number=signal.SIGTERM) == (0, "started\nnot closed in time\n", "")


def test_a_hung_thread_does_not_delay_the_exit() -> None:
    work = """\
hanging = asyncio.ensure_future(asyncio.to_thread(threading.Event().wait))
print('started', flush=True)
await asyncio.Event().wait()"""
    assert run(work, number=signal.SIGTERM)[0] == 0


def test_remaining_tasks_are_cancelled_at_the_end() -> None:
    work = """\
async def left():
    try:
        await asyncio.Event().wait()
    finally:
        print('ended too')
task = asyncio.ensure_future(left())
await asyncio.sleep(0)"""
    assert run(work) == (0, "ended too\n", "")


def test_the_open_file_limit_is_raised_to_the_hard_limit_at_most() -> None:
    work = """\
import resource
kind = resource.RLIMIT_NOFILE
resource.setrlimit(kind, (64, 128))
daemon.allow_open_files(100)
print(*resource.getrlimit(kind))
daemon.allow_open_files(65536)
print(*resource.getrlimit(kind))
daemon.allow_open_files(10)
print(*resource.getrlimit(kind))"""
    assert run(work) == (0, "100 128\n128 128\n128 128\n", "")


def test_a_package_that_another_distribution_provides_is_rejected() -> None:
    with pytest.raises(BadSettings, match="'common' is also installed by shared-words"):
        check_installation({"common": ["innkeeper", "shared-words"], "regiond": ["innkeeper"]})


def test_this_installation_passes_its_check() -> None:
    check_installation()


@pytest.mark.slow
def test_frozen_objects_are_not_collected_again() -> None:
    before = gc.get_freeze_count()
    try:
        freeze_gc()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
        if before:  # as the other tests of this process had it
            freeze_gc()
