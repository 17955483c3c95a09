"""Processes that try cells, each on a database, ports and folders of its own: a cell mostly waits."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from common.wire import from_plain, to_plain
from tests.faults.cells import Cell, CellResult
from tests.faults.matrix.running import CELLS_AN_INN

REPOSITORY = Path(__file__).parents[3]
TRYING = (sys.executable, "-m", "tests.faults.matrix")
LONGEST_LINE = 2**20


async def on_processes(
    cells: Sequence[Cell], *, jobs: int, command: Sequence[str] = TRYING
) -> AsyncGenerator[CellResult, None]:
    """The result of each cell as it comes. The cells are begun in their order, each by whichever process is free.

    Raises RuntimeError when a process breaks off. However this ends, none of the processes is left.
    """
    todo = deque(cells)
    found: asyncio.Queue[CellResult | None] = asyncio.Queue()
    workers = [asyncio.create_task(_work(todo, found, command)) for _ in range(_worth(len(cells), jobs))]
    all_of_them = asyncio.gather(*workers)
    all_of_them.add_done_callback(lambda _: found.put_nowait(None))
    try:
        while (result := await found.get()) is not None:
            yield result
        await all_of_them
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, all_of_them, return_exceptions=True)


def _worth(cells: int, jobs: int) -> int:
    """So many of `jobs` are worth their beginning: one for each inn that is filled."""
    return max(1, min(jobs, -(-cells // CELLS_AN_INN)))


async def _work(todo: deque[Cell], found: asyncio.Queue[CellResult | None], command: Sequence[str]) -> None:
    async with _child(command) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        while todo:
            cell = todo.popleft()
            child.stdin.write(f"{json.dumps(to_plain(cell))}\n".encode())
            line = await child.stdout.readline()
            if not line:
                raise RuntimeError(f"a process that tries cells broke off with {await child.wait()}, at {cell.name}")
            found.put_nowait(from_plain(json.loads(line), CellResult))


@asynccontextmanager
async def _child(command: Sequence[str]) -> AsyncIterator[Process]:
    """It hears of Ctrl-C from here alone, and ends when its standard input does: also when this process is killed."""
    child = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE, start_new_session=True
    )
    assert child.stdin is not None
    try:
        yield child
    except BaseException:
        if child.returncode is None:
            child.terminate()
        raise
    finally:
        child.stdin.close()
        await child.wait()
