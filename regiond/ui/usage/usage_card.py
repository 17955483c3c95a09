"""The tiles of what a VM or a host uses: the newest numbers, each with a line of the last hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from common.units import BYTES_PER_MIB
from regiond.ui.texts import counted, text, translated
from regiond.ui.usage.sparkline import Sparkline, sparkline
from regiond.ui.views import formats
from regiond.usage.model import UsageView


@frozen(kw_only=True)
class UsageTile:
    """`description` is for those who do not see the line."""

    label: str
    value: str
    note: str
    line: Sparkline | None
    description: str


@frozen(kw_only=True)
class UsageCard:
    """Without a sample there are no tiles, and `reason` says why. `note` says what the numbers are sums of."""

    sampled_at: datetime | None
    reason: str
    tiles: tuple[UsageTile, ...] = ()
    note: str = ""
    longer_history_url: str = ""


def usage_card(view: UsageView) -> UsageCard:
    if view.sampled_at is None:
        return UsageCard(sampled_at=None, reason=translated(view.reason), longer_history_url=view.longer_history_url)
    return UsageCard(
        sampled_at=view.sampled_at,
        reason="",
        tiles=(_cpu(view), _memory(view), _disk(view), _network(view)),
        note=formats.limits(view.at_limit)
        or (text("Disk and network: sum of its VMs") if "read_rate" in view.summed else ""),
        longer_history_url=view.longer_history_url,
    )


def _cpu(view: UsageView) -> UsageTile:
    cores = view.usage.cpu_cores
    has = (
        counted("{used} of {n} core", "{used} of {n} cores", view.cores, used=formats.number(round(cores, 1)))
        if cores is not None and view.cores
        else ""
    )
    note = text("of its VMs") if "cpu_cores" in view.summed else has
    return _tile(text("CPU"), formats.percent(view.cpu_percent), note, view, view.history.cpu_cores, whole=view.cores)


def _memory(view: UsageView) -> UsageTile:
    used, has = view.usage.memory_used_bytes, view.memory_bytes
    shown = formats.DASH if used is None else formats.memory(round(used / BYTES_PER_MIB))
    note = text("of {whole}", whole=formats.memory(has // BYTES_PER_MIB)) if has else ""
    if "memory_used_bytes" in view.summed:
        note = text("of its VMs")
    return _tile(text("RAM"), shown, note, view, view.history.memory_used_bytes, whole=has)


def _disk(view: UsageView) -> UsageTile:
    found = view.usage
    note = text(
        "{read} read, {written} written", read=formats.rate(found.read_rate), written=formats.rate(found.written_rate)
    )
    if view.space_percent is not None:
        full = text("{percent} full", percent=formats.percent(view.space_percent))
        note = f"{note}, {full}"
    samples = _added(view.history.read_rate, view.history.written_rate)
    return _tile(text("Disk"), formats.rate(view.disk_rate), note, view, samples)


def _network(view: UsageView) -> UsageTile:
    found = view.usage
    note = text(
        "{received} in, {sent} out", received=formats.rate(found.received_rate), sent=formats.rate(found.sent_rate)
    )
    samples = _added(view.history.received_rate, view.history.sent_rate)
    return _tile(text("Network"), formats.rate(view.network_rate), note, view, samples)


def _tile(
    label: str, value: str, note: str, view: UsageView, samples: Sequence[float | None], *, whole: float | None = None
) -> UsageTile:
    known = [one for one in samples if one is not None]
    most = _printed(label, max(known), view) if known else formats.DASH
    return UsageTile(
        label=label,
        value=value,
        note=note,
        line=sparkline(view.history.ages_s, samples, whole=whole),
        description=text("{label} in the last hour: now {now}, at most {most}", label=label, now=value, most=most),
    )


def _printed(label: str, value: float, view: UsageView) -> str:
    if label == text("CPU"):
        return formats.percent(100 * value / view.cores) if view.cores else formats.number(round(value, 1))
    return formats.memory(round(value / BYTES_PER_MIB)) if label == text("RAM") else formats.rate(value)


def _added(first: Sequence[float | None], second: Sequence[float | None]) -> list[float | None]:
    pairs = zip(first, second, strict=False)
    return [None if a is None and b is None else (a or 0.0) + (b or 0.0) for a, b in pairs]
