"""Worker processes: each cell is tried once, and a process that ends early is an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from tests.faults import real
from tests.faults.cells import Cell, Victim
from tests.faults.matrix.cell_runs import CELLS_PER_SITE
from tests.faults.matrix.worker_processes import on_processes

CELLS = [Cell(kind="delete", point=f"commit {number}", victim=Victim.LINK) for number in range(3 * CELLS_PER_SITE)]
_TRIES = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"cell": json.loads(line), "outcome": str(os.getpid()), "recovered_s": 0.0}), flush=True)
"""
_ENDS_EARLY = "import sys; sys.stdin.readline(); sys.exit(7)"
_ENDS_SLOWLY = """
import json, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
cell = {"kind": "delete", "point": "commit 1", "victim": "link"}
print(json.dumps({"cell": cell, "outcome": "succeeded", "recovered_s": 0.0}), flush=True)
os.close(1)
os._exit(143 if signal.sigtimedwait([signal.SIGTERM], 0.3) else int(sys.argv[1]))
"""


def _python(text: str, *more: str) -> Sequence[str]:
    return (sys.executable, "-c", text, *more)


async def test_each_cell_is_tried_once_by_one_of_the_processes() -> None:
    tried = [result async for result in on_processes(CELLS, jobs=2, command=_python(_TRIES))]
    assert sorted(result.cell for result in tried) == sorted(CELLS)
    assert len({result.outcome for result in tried}) == 2


async def test_the_cells_of_one_site_use_one_process() -> None:
    few = CELLS[:CELLS_PER_SITE]
    assert len({result.outcome async for result in on_processes(few, jobs=2, command=_python(_TRIES))}) == 1


async def test_a_process_that_ends_early_ends_the_run_with_the_cells_name() -> None:
    with pytest.raises(RuntimeError, match="ended with status 7 at delete/commit"):
        _ = [result async for result in on_processes(CELLS, jobs=2, command=_python(_ENDS_EARLY))]


def test_a_process_may_end_slowly_after_its_last_result() -> None:
    tried = real.run(command=_python(_ENDS_SLOWLY, "0"))
    assert [result.outcome for result in tried] == ["succeeded"]


def test_a_failure_after_the_last_result_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended early with 7"):
        list(real.run(command=_python(_ENDS_SLOWLY, "7")))
