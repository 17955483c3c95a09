"""Cells of the real sample: processes are killed during a compose, a deletion, an allocation and a join.

`./dev faults --real` tries all.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.faults.cells import CellResult
from tests.faults.real import run

CELLS = (
    *(
        f"compose/{moment} (simulated)/{victim}"
        for moment in ("during the call to the host", "half done")
        for victim in ("region", "rack", "database")
    ),
    "delete/during the call to the host (simulated)/rack",
    "allocate_ready/before the intent is committed (simulated)/region",
    "join_rack/done and the answer in transit (processes)/answer",
)


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest) -> Mapping[str, CellResult]:
    """The results of the cells whose tests are run, by name. They are tried once, on the same daemons."""
    names = [name for name in CELLS if any(f"[{name}]" in item.name for item in request.session.items)]
    return {result.cell.name: result for result in run(names)}


@pytest.mark.parametrize("cell", CELLS)
def test_a_kill_is_survived(cell: str, tried: Mapping[str, CellResult]) -> None:
    assert cell in tried, "no cell of this name"
    assert not tried[cell].skipped
    assert tried[cell].faults == ()
