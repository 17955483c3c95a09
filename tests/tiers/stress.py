"""Repeats tests in random orders, under load: `./dev test --repeat N [--stress] [TEST ...]`.

`--stress` adds busy processes, and stops random processes of the run for a moment: whatever the scheduler of a busy
machine may do.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from tests.tiers.areas import FIRST_TIER
from tests.tiers.runs import results_file, run, say

BUSY = 4
_BUSY_LOOP = "while True: pass"
PAUSE_S = (0.05, 0.6)
FREEZE_S = (0.005, 0.8)
# These stop themselves when their child is stopped, until somebody continues them.
STOP_WITH_CHILD = {"runuser", "script", "su", "sudo"}


def repeat(times: int, tests: Iterable[str], *, stressed: bool) -> int:
    """Returns 1 if a run failed. The seed of each order is printed; `--shuffle SEED` of pytest repeats it."""
    tests, failed = list(tests), 0
    for number in range(1, times + 1):
        seed, began_s = random.randrange(10**6), time.monotonic()  # noqa: S311  an order, not a secret
        with results_file() as path, under_stress() if stressed else nullcontext():
            status, results = run(FIRST_TIER, path, tests=tests, options=[f"--shuffle={seed}"])
        failed += status != 0
        outcome = f"{'failed' if status else 'passed'}, {(time.monotonic() - began_s) / 60:.1f} min"
        say(f"run {number} of {times}, order {seed}: {outcome}")
        for failure in results.failures:
            say(f"failed: {failure.test}")
    say(f"{failed} of {times} runs failed")
    return 1 if failed else 0


@contextmanager
def under_stress() -> Iterator[None]:
    """Busy processes beside the run, and random freezes of its processes, until the block ends."""
    busy = [subprocess.Popen([sys.executable, "-S", "-c", _BUSY_LOOP]) for _ in range(BUSY)]
    ended = threading.Event()
    freezer = threading.Thread(target=_freeze, args=(ended, {one.pid for one in busy}), daemon=True)
    freezer.start()
    try:
        yield
    finally:
        ended.set()
        freezer.join()
        for one in busy:
            one.kill()
            one.wait()


def _freeze(ended: threading.Event, spared: set[int]) -> None:
    """Stops one process below this one after the other for a moment."""
    while not ended.wait(random.uniform(*PAUSE_S)):  # noqa: S311
        if candidates := [pid for pid in descendants(os.getpid()) if pid not in spared]:
            pid = random.choice(candidates)  # noqa: S311
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                try:
                    ended.wait(random.uniform(*FREEZE_S))  # noqa: S311
                finally:
                    os.kill(pid, signal.SIGCONT)


def descendants(pid: int) -> Iterator[int]:
    """The processes below this one that may be stopped for a moment."""
    with suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().strip() in STOP_WITH_CHILD:
            return
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text().split()):
                yield child
                yield from descendants(child)
