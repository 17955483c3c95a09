"""Which sampled processes count as growing."""

from __future__ import annotations

import pytest

from tests.faults.flatness import LEAST, judge
from tests.faults.process_metrics import Life, Sample


def life(*, memory_mib: list[float], files: list[int] | None = None) -> Life:
    counts = files or [40] * len(memory_mib)
    samples = [
        Sample(at_s=float(at), memory_kib=int(mib * 1024), threads=4, files=count)
        for at, (mib, count) in enumerate(zip(memory_mib, counts, strict=True))
    ]
    return Life(process="region", phase="calm", pid=1, samples=samples)


def flat(lives: list[Life]) -> dict[str, bool]:
    return {one.measure: one.flat for one in judge(lives)}


def test_growth_in_the_first_quarter_does_not_count() -> None:
    warming = [20.0 + at for at in range(50)] + [80.0] * 150
    assert flat([life(memory_mib=warming)]) == {"memory MiB": True, "threads": True, "files": True}


def test_a_steady_leak_is_growth() -> None:
    assert flat([life(memory_mib=[100.0 + at / 4 for at in range(400)])])["memory MiB"] is False


def test_a_slow_leak_of_file_descriptors_is_growth() -> None:
    leaking = [40 + at // 10 for at in range(400)]
    assert flat([life(memory_mib=[80.0] * 400, files=leaking)]) == {"memory MiB": True, "threads": True, "files": False}


def test_one_burst_is_no_growth() -> None:
    burst = [80.0] * 390 + [400.0] * 10
    assert flat([life(memory_mib=burst)])["memory MiB"] is True


@pytest.mark.parametrize(("samples", "judged"), [(LEAST - 1, False), (LEAST, True)])
def test_a_short_run_is_not_judged(samples: int, judged: bool) -> None:
    assert bool(judge([life(memory_mib=[80.0] * samples)])) is judged
