"""How much CPU time the machine did not get because it is virtual and its host was busy."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

_STEAL = 7  # user nice system idle iowait irq softirq steal; proc(5)


@frozen
class CpuTimes:
    """Since the boot, in ticks of all cores."""

    total: int
    stolen: int

    @classmethod
    def read(cls, stat: str | None = None) -> CpuTimes:
        """`stat` is the content of /proc/stat."""
        first = (Path("/proc/stat").read_text() if stat is None else stat).splitlines()[0]
        ticks = [int(text) for text in first.split()[1 : _STEAL + 2]]
        return cls(sum(ticks), ticks[_STEAL])

    def stolen_since(self, before: CpuTimes) -> float:
        """From 0 to 1."""
        return (self.stolen - before.stolen) / max(1, self.total - before.total)
