"""Decides whether a process grows while it runs. Pure.

A process is flat if the median of its last quarter is at most a fifth above that of its second quarter, or at most
SLACK above it. The first quarter is ignored: modules are loaded and pools are filled. SLACK allows small counts to
vary: a fifth thread is not a leak. Processes with fewer than LEAST samples are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median

from attrs import frozen

from tests.faults.soak.process_metrics import Life, Sample

LEAST = 90
GROWTH = 1.2
Read = Callable[[Sample], float]
MEASURES: Mapping[str, tuple[Read, float]] = {  # how to read it from a sample, and the SLACK in its unit
    "memory MiB": (lambda sample: sample.memory_kib / 1024, 8.0),
    "threads": (lambda sample: sample.threads, 6.0),
    "files": (lambda sample: sample.files, 16.0),
}


@frozen(kw_only=True)
class Verdict:
    """One measure of one process: the medians of its second and last quarter."""

    process: str
    phase: str
    measure: str
    seconds: int
    early: float
    late: float
    flat: bool

    @property
    def text(self) -> str:
        word = "flat" if self.flat else "GROWS"
        return (
            f"{self.process:6}  {self.phase:6}  {self.seconds:4} s  {self.measure:10}  {self.early:7.1f} -> "
            f"{self.late:7.1f}  {word}"
        )


def judge(lives: Iterable[Life]) -> tuple[Verdict, ...]:
    return tuple(verdict for life in lives if len(life.samples) >= LEAST for verdict in _verdicts(life))


def _verdicts(life: Life) -> Iterator[Verdict]:
    for measure, (read, slack) in MEASURES.items():
        early, late = _quarters([read(sample) for sample in life.samples])
        yield Verdict(
            process=life.process, phase=life.phase, measure=measure,
            seconds=round(life.samples[-1].at_s - life.samples[0].at_s), early=early, late=late,
            flat=late <= max(early * GROWTH, early + slack),
        )  # fmt: skip


def _quarters(values: Sequence[float]) -> tuple[float, float]:
    quarter = len(values) // 4
    return median(values[quarter : 2 * quarter]), median(values[-quarter:])
