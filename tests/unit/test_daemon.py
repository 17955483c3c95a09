"""How a daemon's process begins and ends; each run is a process of its own, since a reactor is installed only once."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys

import pytest

from common.daemon import check_installation, keep_for_good
from common.errors import BadSettings

_PROGRAM = """
import asyncio, sys, threading
from common import daemon
from common.errors import BadSettings, DriverFailed

daemon.install_reactor()

async def work():
{work}

daemon.leave(daemon.run(work()))
"""


def run(work: str, *, number: signal.Signals | None = None) -> tuple[int, str, str]:
    """Status, output and errors of a daemon that does `work`; `number` is sent when it says `begun`."""
    program = _PROGRAM.format(work="\n".join(f"    {line}" for line in work.splitlines()))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    begun = process.stdout.readline() if number else ""
    if number:
        process.send_signal(number)
    said, errors = process.communicate(timeout=20)
    return process.returncode, begun + said, errors


def test_work_that_ends_well_is_status_0() -> None:
    assert run("print('done')") == (0, "done\n", "")


def test_an_error_of_ours_is_one_sentence_and_status_1() -> None:
    assert run("raise DriverFailed('The host said no.')") == (1, "", "The host said no.\n")


def test_bad_settings_are_status_2() -> None:
    assert run("raise BadSettings('http_port is taken.')") == (2, "", "http_port is taken.\n")


def test_a_bug_is_logged_whole_and_status_1() -> None:
    status, said, errors = run("1 / 0")
    assert status == 1
    assert "ZeroDivisionError" in said + errors
    assert "daemon_failed" in said + errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_runs_the_shutdown_to_its_end(number: signal.Signals) -> None:
    work = """\
try:
    print('begun', flush=True)
    await asyncio.Event().wait()
finally:
    await asyncio.sleep(0.05)
    print('shut down')"""
    assert run(work, number=number) == (0, "begun\nshut down\n", "")


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    work = """\
hanging = asyncio.ensure_future(asyncio.to_thread(threading.Event().wait))
print('begun', flush=True)
await asyncio.Event().wait()"""
    assert run(work, number=signal.SIGTERM)[0] == 0


def test_a_task_left_behind_is_cancelled_before_the_end() -> None:
    work = """\
async def left():
    try:
        await asyncio.Event().wait()
    finally:
        print('ended too')
task = asyncio.ensure_future(left())
await asyncio.sleep(0)"""
    assert run(work) == (0, "ended too\n", "")


def test_the_limit_of_open_files_is_lifted_no_further_than_allowed() -> None:
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


def test_a_package_of_ours_that_another_distribution_overwrote_is_refused() -> None:
    with pytest.raises(BadSettings, match="'common' is also installed by shared-words"):
        check_installation({"common": ["innkeeper", "shared-words"], "regiond": ["innkeeper"]})


def test_this_installation_is_ours() -> None:
    check_installation()


def test_what_is_there_when_a_daemon_has_started_is_never_walked_through_again() -> None:
    try:
        keep_for_good()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1_000
    finally:
        gc.unfreeze()
