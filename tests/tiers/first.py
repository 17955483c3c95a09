"""The first tier: what every change has to pass.

A test that fails is run again alone, twice. If it passes both times, and the failure may be chance, the run is green
and names it as UNSTABLE; `unstable.py` says for how long.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tests.tiers import unstable
from tests.tiers.areas import FIRST_TIER
from tests.tiers.results import Failure, Results
from tests.tiers.runs import commit, results_file, run, say, will_be_skipped

CPU_LIMIT_S = 8.0
MAX_RERUN = 5  # more failures than that have a reason
ALONE = 2


def first(options: Iterable[str] = ()) -> int:
    """Runs the tier and returns its exit status."""
    started = time.monotonic()
    for reason in will_be_skipped(FIRST_TIER):
        say(reason)
    with results_file() as path:
        limits = [f"--cpu-limit={CPU_LIMIT_S}", "--durations=8", *options]
        status, results = run(FIRST_TIER, path, options=limits)
        chance = _unstable(results.failures, path.with_suffix(".again")) if status == 1 else ()
    if chance:
        unstable.record(chance, commit=commit())
    return _conclude(results, chance, status, minutes=(time.monotonic() - started) / 60)


def _unstable(failures: tuple[Failure, ...], results: Path) -> tuple[Failure, ...]:
    """Returns those failures that two further runs of the test alone do not repeat."""
    if len(failures) > MAX_RERUN:
        return ()
    say(f"{len(failures)} failed; each that may have failed by chance is run again alone, {ALONE} times")
    return tuple(
        one for one in failures
        if unstable.may_be_chance(one)
        and all(run(FIRST_TIER, results, tests=[one.test], alone=True)[0] == 0 for _ in range(ALONE))
    )  # fmt: skip


def _conclude(results: Results, chance: tuple[Failure, ...], status: int, *, minutes: float) -> int:
    for part in results.parts:
        say(str(part))
    say(f"first tier: {minutes:.1f} min")
    real = [one for one in results.failures if one not in chance]
    for one in chance:
        say(f"UNSTABLE: {one.test} failed, and passed {ALONE} times alone; recorded in tests/unstable.txt: repair it")
    for problem in (problems := unstable.known_problems()):
        say(f"failed: {problem}")
    for one in real:
        say(f"failed: {one.test}")
    if status not in {0, 1}:  # interrupted, or nothing could run
        say(f"failed: pytest ended with status {status}")
        return status if status > 0 else 1
    return 1 if real or problems or (status == 1 and not chance) else 0
