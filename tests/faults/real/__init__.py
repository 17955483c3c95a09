"""A sample of the crash matrix on real processes: PostgreSQL, region, rack and hypervisor are killed with SIGKILL.

Simulated hosts show each moment of an operation as long as it takes to kill somebody in it; with real LXD and libvirt
(the lab) somebody dies as soon as they show that they have begun. `python -m tests.faults.real --list` names the cells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from common.wire import from_plain
from tests.faults.cells import CellResult

REPOSITORY = Path(__file__).parents[3]
TRYING = (sys.executable, "-m", "tests.faults.real")


def run(
    only: Iterable[str] = (), seed: int = 0, *, done: Iterable[str] = (), command: Sequence[str] = TRYING
) -> Iterator[CellResult]:
    """The cells whose name begins with one of `only` (with none: all), each as it ends, but for those named in `done`.

    They are tried in a process of their own, which has the reactor and ends what it started; `seed` chooses their
    order. Raises RuntimeError when that process breaks off.
    """
    asked = [*[f"--only={one}" for one in only], *[f"--done={one}" for one in done]]
    whole = (*command, f"--seed={seed}", *asked)
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(whole, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=said) as trying,
    ):
        assert trying.stdout is not None
        try:
            for line in trying.stdout:
                yield from_plain(json.loads(line), CellResult)
        except BaseException:
            # It stops what it started. After its last line it does so unasked: a signal would only hide its outcome.
            trying.terminate()
            raise
        if trying.wait() not in (0, 1):
            said.seek(0)
            raise RuntimeError(f"the cells on real processes broke off with {trying.returncode}: {said.read()[-4000:]}")
