"""Which sampled processes count as growing."""

from __future__ import annotations

import pytest

from tests.faults.soak.flatness import LEAST, judge
from tests.faults.soak.process_metrics import Life, Sample

STEADY = [80.0] * 400


def life(memory_mib: list[float], files: list[int] | None = None) -> Life:
    counts = files or [40] * len(memory_mib)
    samples = [
        Sample(at_s=float(at), memory_kib=int(mib * 1024), threads=4, files=count)
        for at, (mib, count) in enumerate(zip(memory_mib, counts, strict=True))
    ]
    return Life(process="region", phase="calm", pid=1, samples=samples)


@pytest.mark.parametrize(
    ("sampled", "growing"),
    [
        pytest.param(life([20.0 + at for at in range(50)] + [80.0] * 150), set(), id="only in the first quarter"),
        pytest.param(life([100.0 + at / 4 for at in range(400)]), {"memory MiB"}, id="steady leak"),
        pytest.param(life(STEADY, [40 + at // 10 for at in range(400)]), {"files"}, id="slow leak of descriptors"),
        pytest.param(life([80.0] * 390 + [400.0] * 10), set(), id="one burst"),
    ],
)
def test_growth_is_found_in_the_measure_that_leaks(sampled: Life, growing: set[str]) -> None:
    verdicts = judge([sampled])
    assert {one.measure for one in verdicts} == {"memory MiB", "threads", "files"}
    assert {one.measure for one in verdicts if not one.flat} == growing


@pytest.mark.parametrize(("samples", "judged"), [(LEAST - 1, False), (LEAST, True)])
def test_a_short_run_is_not_judged(samples: int, judged: bool) -> None:
    assert bool(judge([life(STEADY[:samples])])) is judged
