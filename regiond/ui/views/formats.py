"""Amounts and times as pages print them: memory in binary units, storage in decimal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from common.disks.device_names import lxd_device_name
from common.disks.volume_names import index_of_volume
from common.units import BYTES_PER_MIB
from regiond.ui.texts import constant, counted, text

GIB_IN_MIB = 1024
TIB_IN_MIB = 1024 * GIB_IN_MIB
GB = 1_000_000_000
TB = 1000 * GB
PB = 1000 * TB
DASH = "–"
_MONTHS = (
    constant("Jan"), constant("Feb"), constant("Mar"), constant("Apr"), constant("May"), constant("Jun"),
    constant("Jul"), constant("Aug"), constant("Sep"), constant("Oct"), constant("Nov"), constant("Dec"),
)  # fmt: skip


def number(value: float) -> str:
    """With thousands separated; at most one decimal, and none if it is 0."""
    text = f"{value:,.1f}"
    return text.removesuffix(".0")


def gib(mib: int) -> str:
    """Mebibytes as a number of gibibytes."""
    return number(mib / GIB_IN_MIB)


Scale = Callable[[int], tuple[str, Callable[[int], str]]]


def memory_scale(largest_mib: int) -> tuple[str, Callable[[int], str]]:
    """Returns the unit for amounts up to this one, and the function that prints them in it."""
    if 0 < largest_mib < GIB_IN_MIB:
        return "MiB", number
    return ("GiB", gib) if largest_mib < TIB_IN_MIB else ("TiB", _in(TIB_IN_MIB))


def storage_scale(largest_bytes: int) -> tuple[str, Callable[[int], str]]:
    """Returns the unit for amounts up to this one, and the function that prints them in it."""
    if largest_bytes < TB:
        return "GB", gb
    return ("TB", _in(TB)) if largest_bytes < PB else ("PB", _in(PB))


def _in(factor: int) -> Callable[[int], str]:
    """Prints amounts with two decimals, and none that are 0; an amount that is too small for them is not 0."""

    def text(amount: int) -> str:
        if 0 < amount < factor / 200:
            return "<0.01"
        return f"{amount / factor:,.2f}".rstrip("0").rstrip(".")

    return text


def memory(mib: int) -> str:
    """An amount of memory with its unit."""
    return _with_unit(memory_scale, mib)


def _with_unit(scale: Scale, amount: int) -> str:
    unit, text = scale(amount)
    return f"{text(amount)} {unit}"


def gb(size_bytes: int) -> str:
    """Bytes as a number of gigabytes."""
    return number(size_bytes / GB)


def storage(size_bytes: int) -> str:
    """An amount of storage with its unit."""
    return _with_unit(storage_scale, size_bytes)


def file_size(size_bytes: int) -> str:
    """The size of a file with its unit, from kB to TB."""
    for unit, factor in (("kB", 1000), ("MB", 1000**2)):
        if size_bytes < factor * 1000:
            return f"{number(size_bytes / factor)} {unit}"
    return storage(size_bytes)


def percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f} %"


def rate(bytes_per_s: float | None) -> str:
    """Bytes per second with their unit."""
    return DASH if bytes_per_s is None else f"{file_size(round(bytes_per_s))}/s"


def mebibytes(size_bytes: int | None) -> str:
    """An amount of memory with its unit."""
    return DASH if size_bytes is None else memory(round(size_bytes / BYTES_PER_MIB))


def clock(at: datetime, now: datetime) -> str:
    """The time of today; the day too if it was not today. UTC."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    month = text(_MONTHS[at.month - 1])
    if at.year == now.year:
        return text("{day} {month} {time}", day=at.day, month=month, time=f"{at:%H:%M}")
    return text("{day} {month} {year}", day=at.day, month=month, year=at.year)


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(duration: timedelta) -> str:
    """Such as `4 s`, `12 min`, `3 h`, `5 days`."""
    seconds = max(0, int(duration.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86400:
        return f"{seconds // 3600} h"
    return counted("{n} day", "{n} days", seconds // 86400)


def duration(length: timedelta) -> str:
    """Returns the time of a step, such as `7 ms`, `4.1 s`; longer ones as `span` prints them."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{number(seconds)} s" if seconds < 60 else span(length)


def ago(at: datetime, now: datetime) -> str:
    return text("{span} ago", span=span(now - at))


def ranges(numbers: Iterable[int]) -> str:
    """`0, 1, 2, 5` as `0–2, 5`."""
    found: list[list[int]] = []
    for one in sorted(set(numbers)):
        if found and one == found[-1][1] + 1:
            found[-1][1] = one
        else:
            found.append([one, one])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in found)


def share(part: int, whole: int) -> str:
    """Per cent, as text."""
    return f"{round(100 * part / whole)} %" if whole else DASH


def disk_of(volume: str | None) -> str:
    """Returns `root` or `disk1` for a volume whose name has the index of the disk; other volumes as named."""
    index = None if volume is None else index_of_volume(volume)
    return volume or DASH if index is None else lxd_device_name(index)


def limits(names: Iterable[str]) -> str:
    """Returns at which limits a VM is, as words for its lists and its page; empty for one that is at none."""
    words = {"cpu": text("CPU"), "memory": text("RAM"), "disk": text("Disk")}
    named = ", ".join(words[one] for one in names if one in words)
    return text("at its limit: {what}", what=named) if named else ""
