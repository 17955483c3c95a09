"""Programs are kept running, and what was started is stopped: with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from development import processes
from development.places import CannotRun
from development.supervisor import Program, Supervisor, next_delay_s
from tests.waiting import eventually, settle


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.supervisor = Supervisor(self.told.append)

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
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    settle(made.supervisor.stop())


def alive(pid: int) -> bool:
    return processes.identify(pid) is not None


async def test_a_program_that_is_killed_is_started_again(bench: Bench) -> None:
    first = await bench.started("sleeper", "/bin/sleep", "1000")
    os.kill(first, signal.SIGKILL)
    second = await eventually(lambda: bench.supervisor.pid("sleeper") not in (None, first) and alive(first) is False)
    assert second
    assert bench.told == ["sleeper was ended by signal 9; starting it again in 1 s."]


async def test_stopping_ends_the_programs_and_what_they_started(bench: Bench) -> None:
    child_file = bench.folder / "child"
    script = f"sleep 1000 & echo $! >{child_file}; wait"
    parent = await bench.started("parent", "/bin/sh", "-c", script)
    child = int(await eventually(lambda: child_file.exists() and child_file.read_text().strip()))
    await bench.supervisor.stop()
    assert not alive(parent)
    await eventually(lambda: not alive(child))
    assert not (bench.folder / "parent.pid").exists()
    assert bench.told == []


async def test_what_a_program_started_and_does_not_end_itself_is_killed(bench: Bench) -> None:
    child_file = bench.folder / "child"
    script = (
        f"(trap '' TERM; echo started >{child_file}.ready; while :; do sleep 0.01; done) & echo $! >{child_file}; wait"
    )
    await bench.started("parent", "/bin/sh", "-c", script)
    await eventually((bench.folder / "child.ready").exists)
    child = int(await eventually(lambda: child_file.exists() and child_file.read_text()))  # its parent writes this
    await bench.supervisor.stop()
    await eventually(lambda: not alive(child))


async def test_a_program_that_ignores_the_request_is_killed(bench: Bench) -> None:
    ready = bench.folder / "ready"
    pid = await bench.started("deaf", "/bin/sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 1000; done")
    await eventually(ready.exists)
    process = processes.identify(pid)
    assert process is not None
    # The stubborn loop outlives the death of its sleep.
    await processes.end_group(process, grace_s=0.2)
    assert not process.alive()


async def test_programs_are_stopped_in_the_reverse_order_of_their_starts(bench: Bench) -> None:
    order = bench.folder / "order"
    for name in ("first", "second"):
        ready = bench.folder / f"{name}.ready"
        script = f"trap 'echo {name} >>{order}; exit' TERM; touch {ready}; while :; do sleep 0.01; done"
        await bench.started(name, "/bin/sh", "-c", script)
        await eventually(ready.exists)
    await bench.supervisor.stop()
    assert order.read_text().split() == ["second", "first"]


async def test_a_program_that_cannot_start_is_reported_with_the_end_of_its_log(bench: Bench) -> None:
    bench.supervisor.start(bench.program("broken", "/bin/sh", "-c", "echo the key is not readable >&2; exit 3"))

    async def never() -> bool:
        return False

    with pytest.raises(CannotRun, match=r"(?s)broken ended 3 times at its start\..*the key is not readable"):
        await bench.supervisor.ready("broken", never, deadline_s=60)
    assert "broken ended with status 3; starting it again in 2 s." in bench.told


async def test_one_that_never_gets_ready_is_given_up_when_time_is_over(bench: Bench) -> None:
    await bench.started("slow", "/bin/sleep", "1000")

    async def never() -> bool:
        return False

    with pytest.raises(CannotRun, match=r"slow was not ready within 0 s\. It wrote nothing to .*slow\.log"):
        await bench.supervisor.ready("slow", never, deadline_s=0.2)


def test_back_off_doubles_up_to_half_a_minute_and_starts_over_after_a_minute_of_health() -> None:
    delays: list[float] = []
    for _ in range(7):
        delays.append(next_delay_s(delays[-1] if delays else None, ran_s=0.1))
    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert next_delay_s(30, ran_s=60) == 1


def test_a_stranger_with_the_same_pid_is_not_taken_for_ours(tmp_path: Path) -> None:
    mine = processes.identify(os.getpid())
    assert mine is not None
    path = tmp_path / "regiond.pid"
    path.write_text(f"{mine.pid} {mine.started_ticks - 1}\n")
    assert processes.remembered(path) is None
    processes.remember(path, mine.pid)
    assert processes.remembered(path) == mine


@pytest.mark.parametrize("text", ["", "12", "12 x", "12 34 56"])
def test_a_pid_file_cut_short_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "regiond.pid"
    path.write_text(text)
    assert processes.remembered(path) is None


_KEEPER = """
import asyncio, os, sys
from pathlib import Path
from development.supervisor import Program, Supervisor

async def main():
    folder = Path(sys.argv[1])
    Supervisor(print).start(Program(name="kept", argv=("/bin/sleep", "1000"), log_path=folder / "kept.log",
                                    pid_path=folder / "kept.pid", environment=dict(os.environ)))
    await asyncio.sleep(1000)

asyncio.run(main())
"""


async def test_a_killed_supervisor_takes_its_programs_with_it(tmp_path: Path) -> None:
    keeper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KEEPER, str(tmp_path), env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    kept = await eventually(lambda: processes.remembered(tmp_path / "kept.pid"))
    assert kept is not None
    # The kernel's promise holds from the moment the program itself runs.
    await eventually(lambda: Path(f"/proc/{kept.pid}/comm").read_text().strip() == "sleep")
    keeper.kill()
    await keeper.wait()
    await eventually(lambda: not kept.alive())


async def test_what_a_killed_run_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    left = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)  # noqa: ASYNC220 - starts at once
    processes.remember(tmp_path / "regiond.pid", left.pid)
    (tmp_path / "rackd.pid").write_text("1 1\n")
    assert await processes.end_leftovers(tmp_path, grace_s=60) == ("regiond",)
    assert left.wait(timeout=60) == -signal.SIGTERM
    assert os.listdir(tmp_path) == []
