"""The supervisor restarts programs that exit and stops those that it started. Uses real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from development import processes
from development.paths import CannotRun
from development.supervisor import Program, Supervisor, next_delay_s
from tests.support.clock import in_no_time
from tests.support.waiting import eventually, settle


class Supervision:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self.supervisor = Supervisor(self.reports.append)

    def program(self, name: str, *argv: str) -> Program:
        return Program(
            name=name,
            argv=argv,
            log_path=self.folder / f"{name}.log",
            pid_path=self.folder / f"{name}.pid",
            environment=dict(os.environ),
        )

    async def started(self, name: str, *argv: str) -> int:
        self.supervisor.start(self.program(name, *argv))
        pid: int = await eventually(lambda: self.supervisor.pid(name) or 0)
        return pid


@pytest.fixture
def supervision(tmp_path: Path) -> Iterator[Supervision]:
    supervision = Supervision(tmp_path)
    yield supervision
    settle(supervision.supervisor.stop())


async def never() -> bool:
    return False


def alive(pid: int) -> bool:
    return processes.identify(pid) is not None


async def test_a_killed_program_is_restarted(supervision: Supervision) -> None:
    first = await supervision.started("sleeper", "/bin/sleep", "1000")
    os.kill(first, signal.SIGKILL)
    second = await eventually(
        lambda: supervision.supervisor.pid("sleeper") not in (None, first) and alive(first) is False
    )
    assert second
    assert supervision.reports == ["sleeper was killed by signal 9; restarting it in 1 s."]


async def test_stop_ends_programs_and_their_children(supervision: Supervision) -> None:
    child_file = supervision.folder / "child"
    script = f"sleep 1000 & echo $! >{child_file}; wait"
    parent = await supervision.started("parent", "/bin/sh", "-c", script)
    child = int(await eventually(lambda: child_file.exists() and child_file.read_text().strip()))
    await supervision.supervisor.stop()
    assert not alive(parent)
    await eventually(lambda: not alive(child))
    assert not (supervision.folder / "parent.pid").exists()
    assert supervision.reports == []


async def test_stop_kills_a_child_that_its_parent_leaves_running(supervision: Supervision) -> None:
    child_file = supervision.folder / "child"
    script = (
        f"(trap '' TERM; echo started >{child_file}.ready; while :; do sleep 0.01; done) & echo $! >{child_file}; wait"
    )
    await supervision.started("parent", "/bin/sh", "-c", script)
    await eventually((supervision.folder / "child.ready").exists)
    child = int(await eventually(lambda: child_file.exists() and child_file.read_text()))  # written by its parent
    await supervision.supervisor.stop()
    await eventually(lambda: not alive(child))


async def test_a_program_that_ignores_sigterm_is_killed(supervision: Supervision) -> None:
    ready = supervision.folder / "ready"
    pid = await supervision.started(
        "ignoring", "/bin/sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 1000; done"
    )
    await eventually(ready.exists)
    process = processes.identify(pid)
    assert process is not None
    # The loop survives the end of its sleep.
    await processes.end_group(process, grace_s=0.2)
    assert not process.alive()


async def test_programs_stop_in_reverse_order_of_their_start(supervision: Supervision) -> None:
    order = supervision.folder / "order"
    for name in ("first", "second"):
        ready = supervision.folder / f"{name}.ready"
        script = f"trap 'echo {name} >>{order}; exit' TERM; touch {ready}; while :; do sleep 0.01; done"
        await supervision.started(name, "/bin/sh", "-c", script)
        await eventually(ready.exists)
    await supervision.supervisor.stop()
    assert order.read_text().split() == ["second", "first"]


async def test_a_program_that_cannot_start_is_reported_with_its_log(supervision: Supervision) -> None:
    supervision.supervisor.start(
        supervision.program("broken", "/bin/sh", "-c", "echo the key is not readable >&2; exit 3")
    )
    with pytest.raises(CannotRun, match=r"(?s)broken exited 3 times during startup\..*the key is not readable"):
        await in_no_time(supervision.supervisor.ready("broken", never, deadline_s=600), step_s=0.1)
    assert "broken exited with status 3; restarting it in 2 s." in supervision.reports


async def test_a_program_that_is_not_ready_in_time_is_reported(supervision: Supervision) -> None:
    await supervision.started("slow", "/bin/sleep", "1000")
    with pytest.raises(CannotRun, match=r"slow was not ready within 0 s\. .*slow\.log is empty"):
        await supervision.supervisor.ready("slow", never, deadline_s=0.2)


def test_back_off_doubles_to_30_s_and_resets_after_a_healthy_minute() -> None:
    delays: list[float] = []
    for _ in range(7):
        delays.append(next_delay_s(delays[-1] if delays else None, ran_s=0.1))
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert next_delay_s(30, ran_s=60) == 1


def test_a_reused_pid_is_not_the_recorded_process(tmp_path: Path) -> None:
    mine = processes.identify(os.getpid())
    assert mine is not None
    path = tmp_path / "regiond.pid"
    path.write_text(f"{mine.pid} {mine.started_ticks - 1}\n")
    assert processes.recorded(path) is None
    processes.record(path, mine.pid)
    assert processes.recorded(path) == mine


@pytest.mark.parametrize("text", ["", "12", "12 x", "12 34 56"])
def test_a_truncated_pid_file_names_no_process(tmp_path: Path, text: str) -> None:
    path = tmp_path / "regiond.pid"
    path.write_text(text)
    assert processes.recorded(path) is None


_SUPERVISING = """
import asyncio, os, sys
from pathlib import Path
from development.supervisor import Program, Supervisor

async def main():
    folder = Path(sys.argv[1])
    Supervisor(print).start(Program(name="sleeper", argv=("/bin/sleep", "1000"), log_path=folder / "sleeper.log",
                                    pid_path=folder / "sleeper.pid", environment=dict(os.environ),
                                    survives=len(sys.argv) > 2))
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_programs_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SUPERVISING, str(tmp_path), env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    child = await eventually(lambda: processes.recorded(tmp_path / "sleeper.pid"))
    assert child is not None
    # The parent-death signal is set once the program itself runs.
    await eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text().strip() == "sleep")
    parent.kill()
    await parent.wait()
    await eventually(lambda: not child.alive())


async def test_a_surviving_program_is_adopted_after_a_kill(supervision: Supervision) -> None:
    folder = supervision.folder
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SUPERVISING, str(folder), "survives"),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        start_new_session=True,
    )
    child = await eventually(lambda: processes.recorded(folder / "sleeper.pid"))
    assert child is not None
    os.killpg(parent.pid, signal.SIGKILL)
    await parent.wait()
    assert child.alive()

    sleeper = evolve(supervision.program("sleeper", "/bin/sleep", "1000"), survives=True)
    supervision.supervisor.start(sleeper)
    assert await eventually(lambda: supervision.supervisor.pid("sleeper")) == child.pid
    os.kill(child.pid, signal.SIGKILL)
    second = await eventually(lambda: supervision.supervisor.pid("sleeper") not in (None, child.pid))
    assert second
    assert supervision.reports == ["sleeper exited; restarting it in 1 s."]


async def test_a_surviving_program_is_left_running(supervision: Supervision) -> None:
    sleeper = evolve(supervision.program("sleeper", "/bin/sleep", "1000"), survives=True)
    supervision.supervisor.start(sleeper)
    pid = await eventually(lambda: supervision.supervisor.pid("sleeper"))
    await supervision.supervisor.leave()
    assert alive(pid)
    supervision.supervisor.start(sleeper)  # adopts it, so that the fixture's stop ends it
    await eventually(lambda: supervision.supervisor.pid("sleeper") == pid)
    await supervision.supervisor.stop()
    assert not alive(pid)
    await asyncio.to_thread(os.waitpid, pid, 0)


async def test_leftovers_of_a_killed_run_are_ended(tmp_path: Path) -> None:
    leftover = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)  # noqa: ASYNC220 - returns immediately
    processes.record(tmp_path / "regiond.pid", leftover.pid)
    (tmp_path / "rackd.pid").write_text("1 1\n")
    assert await processes.end_leftovers(tmp_path, grace_s=60) == ("regiond",)
    assert leftover.wait(timeout=60) == -signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_a_program_that_survives_has_the_umask_of_a_service(tmp_path: Path) -> None:
    log, own = tmp_path / "log", os.umask(0o077)
    try:
        child = processes.start_surviving(("/bin/sh", "-c", "umask"), {}, log)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(own)
    os.waitpid(child, 0)
    assert (log.read_text(), log.stat().st_mode & 0o777) == ("0022\n", 0o600)
