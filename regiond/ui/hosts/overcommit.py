"""The arithmetic of an overcommit ratio, as terms to print. The region counts; this only prints. Pure."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from common.hosts.capacity import Capacity, ResourceCapacity
from common.hosts.host_settings import HostLimits
from regiond.hosts.model import HostView
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.views.meter import Meter, meter_of


@frozen(kw_only=True)
class Sum:
    """`(usable - reserved) × ratio = placeable`, of which `claimed` is held. `saved` is the meter of what is stored."""

    name: str
    unit: str
    usable: str
    reserved: str
    ratio: str
    placeable: str
    claimed: str
    saved_ratio: str
    saved: Meter
    new: Meter

    @property
    def is_changed(self) -> bool:
        return (self.saved_ratio, self.saved.whole) != (self.ratio, self.new.whole)


def sums(host: HostView, limits: HostLimits, capacity: Capacity) -> tuple[Sum, Sum]:
    """Returns those of cores and memory. `capacity` is what the host, which had a good refresh, has with `limits`."""
    saved = host.capacity or Capacity()
    cores = _sum(
        "cpu",
        text("cores"),
        usable=capacity.cores.total,
        reserved=limits.reserved_cores,
        ratios=(host.cpu_over_commit_ratio, limits.cpu_over_commit_ratio),
        amounts=(saved.cores, capacity.cores),
        printed=formats.number,
    )
    memory = _sum(
        "memory",
        "GiB",
        usable=capacity.memory_mib.total - host.huge_memory_mib,
        reserved=limits.reserved_memory_mib,
        ratios=(host.memory_over_commit_ratio, limits.memory_over_commit_ratio),
        amounts=(saved.memory_mib, capacity.memory_mib),
        printed=formats.gib,
    )
    return cores, memory


def _sum(
    name: str,
    unit: str,
    *,
    usable: int,
    reserved: int,
    ratios: tuple[float, float],
    amounts: tuple[ResourceCapacity, ResourceCapacity],
    printed: Callable[[int], str],
) -> Sum:
    saved, new = amounts
    return Sum(
        name=name,
        unit=unit,
        usable=printed(usable),
        reserved=printed(reserved),
        ratio=ratio_text(ratios[1]),
        placeable=printed(new.claimable),
        claimed=printed(new.claimed + new.elsewhere),
        saved_ratio=ratio_text(ratios[0]),
        saved=meter_of(text("Saved ratio {ratio}", ratio=ratio_text(ratios[0])), saved, unit=unit, text=printed),
        new=meter_of(text("New ratio {ratio}", ratio=ratio_text(ratios[1])), new, unit=unit, text=printed),
    )


def ratio_text(ratio: float) -> str:
    """With one decimal, or as many as it has."""
    return f"{ratio:.1f}" if round(ratio, 1) == ratio else f"{ratio:g}"
