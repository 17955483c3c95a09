"""Processes that try cells: each cell is tried once, and only a process that breaks off is told of as one that did."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from tests.faults import real
from tests.faults.cells import Cell, Victim
from tests.faults.matrix.children import on_processes
from tests.faults.matrix.running import CELLS_AN_INN

CELLS = [Cell(kind="delete", point=f"commit {number}", victim=Victim.LINK) for number in range(3 * CELLS_AN_INN)]
_TRIES = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"cell": json.loads(line), "outcome": str(os.getpid()), "recovered_s": 0.0}), flush=True)
"""
_BREAKS_OFF = "import sys; sys.stdin.readline(); sys.exit(7)"
_IS_ON_ITS_WAY_OUT = """
import json, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
cell = {"kind": "delete", "point": "commit 1", "victim": "link"}
print(json.dumps({"cell": cell, "outcome": "succeeded", "recovered_s": 0.0}), flush=True)
os.close(1)
os._exit(143 if signal.sigtimedwait([signal.SIGTERM], 0.3) else int(sys.argv[1]))
"""


def _python(text: str, *more: str) -> Sequence[str]:
    return (sys.executable, "-c", text, *more)


async def test_each_cell_is_tried_once_by_one_of_as_many_processes_as_were_asked_for() -> None:
    tried = [result async for result in on_processes(CELLS, jobs=2, command=_python(_TRIES))]
    assert sorted(result.cell for result in tried) == sorted(CELLS)
    assert len({result.outcome for result in tried}) == 2


async def test_cells_of_one_inn_are_worth_one_process() -> None:
    few = CELLS[:CELLS_AN_INN]
    assert len({result.outcome async for result in on_processes(few, jobs=2, command=_python(_TRIES))}) == 1


async def test_a_process_that_breaks_off_breaks_off_the_run_and_is_told_with_its_cell() -> None:
    with pytest.raises(RuntimeError, match="broke off with 7, at delete/commit"):
        _ = [result async for result in on_processes(CELLS, jobs=2, command=_python(_BREAKS_OFF))]


def test_whoever_has_told_all_results_may_take_its_time_to_end() -> None:
    tried = real.run(command=_python(_IS_ON_ITS_WAY_OUT, "0"))
    assert [result.outcome for result in tried] == ["succeeded"]


def test_whoever_fails_after_all_its_results_is_told() -> None:
    with pytest.raises(RuntimeError, match="broke off with 7"):
        list(real.run(command=_python(_IS_ON_ITS_WAY_OUT, "7")))
