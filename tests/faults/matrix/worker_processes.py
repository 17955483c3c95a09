"""Tries cells in worker processes, each with its own database, ports and folders: a cell mostly waits."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from common.serialization import from_dict, to_dict
from tests.faults.cells import Cell, CellResult
from tests.faults.matrix.cell_runs import CELLS_PER_SITE

REPOSITORY = Path(__file__).parents[3]
WORKER = (sys.executable, "-m", "tests.faults.matrix")
MAX_LINE_BYTES = 2**20


async def on_processes(
    cells: Sequence[Cell], *, jobs: int, command: Sequence[str] = WORKER
) -> AsyncGenerator[CellResult, None]:
    """Yields each result as it arrives. Cells start in their order, each in the next free process.

    Raises RuntimeError if a process ends early. Ends all processes, however it ends itself.
    """
    queue = deque(cells)
    results: asyncio.Queue[CellResult | None] = asyncio.Queue()
    workers = [asyncio.create_task(_work(queue, results, command)) for _ in range(_useful(len(cells), jobs))]
    all_workers = asyncio.gather(*workers)
    all_workers.add_done_callback(lambda _: results.put_nowait(None))
    try:
        while (result := await results.get()) is not None:
            yield result
        await all_workers
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, all_workers, return_exceptions=True)


def _useful(cells: int, jobs: int) -> int:
    """At most one process for each site that is filled: starting more costs more than it saves."""
    return max(1, min(jobs, -(-cells // CELLS_PER_SITE)))


async def _work(queue: deque[Cell], results: asyncio.Queue[CellResult | None], command: Sequence[str]) -> None:
    async with _process(command) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while queue:
            cell = queue.popleft()
            process.stdin.write(f"{json.dumps(to_dict(cell))}\n".encode())
            line = await process.stdout.readline()
            if not line:
                raise RuntimeError(f"a worker process ended with status {await process.wait()} at {cell.name}")
            results.put_nowait(from_dict(json.loads(line), CellResult))


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[Process]:
    """Not reached by Ctrl-C; ends with its standard input, also when this process is killed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, limit=MAX_LINE_BYTES, start_new_session=True
    )
    assert process.stdin is not None
    try:
        yield process
    except BaseException:
        if process.returncode is None:
            process.terminate()
        raise
    finally:
        process.stdin.close()
        await process.wait()
