"""A sample of the crash matrix on real processes: PostgreSQL, region, rack and hypervisor are killed with SIGKILL.

The scenarios are those of `tests/faults/scenarios`. Simulated hosts stop at each moment of an operation until the
victim is killed; real LXD and libvirt (the lab) continue, and the victim is killed as soon as the host shows the
moment. `python -m tests.faults.real --list` names the cells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from common.serialization import from_dict
from tests.faults.cells import CellResult

REPOSITORY = Path(__file__).parents[3]
RUNNER = (sys.executable, "-m", "tests.faults.real")


def run(
    only: Iterable[str] = (), seed: int = 0, *, done: Iterable[str] = (), command: Sequence[str] = RUNNER
) -> Iterator[CellResult]:
    """Yields the result of each cell whose name starts with one of `only` (all if empty) and is not in `done`.

    A process of its own tries them: it has the reactor, and ends what it started. `seed` decides the order. Raises
    RuntimeError if that process ends early.
    """
    arguments = [*[f"--only={one}" for one in only], *[f"--done={one}" for one in done]]
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            (*command, f"--seed={seed}", *arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield from_dict(json.loads(line), CellResult)
        except BaseException:
            # It ends what it started. After its last line it ends by itself: a signal would hide its exit status.
            process.terminate()
            raise
        if process.wait() not in (0, 1):
            errors.seek(0)
            raise RuntimeError(f"tests.faults.real ended early with {process.returncode}: {errors.read()[-4000:]}")
