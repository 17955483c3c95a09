"""Parses booleans, sizes and core lists in LXD's config syntax."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from common.units import BYTES_PER_MIB

_SIZE = re.compile(r"(?P<number>[0-9]+)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_CORES = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?", re.ASCII)
_UNITS: Mapping[str, int] = {"": 1, "B": 1, "bytes": 1} | {
    f"{letter}{suffix}": base**power
    for power, letter in enumerate("kMGTPE", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_MAX_RANGE = 8192
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)
_TRUE = frozenset({"true", "1", "yes", "on"})
_PERCENT = re.compile(r"(?P<number>[0-9]{1,9})%", re.ASCII)
_TOPOLOGY = ("sockets", "cores", "threads")


def is_true(text: object, *, unset: bool = False) -> bool:
    """Returns whether LXD takes the value of a boolean key for true, in any spelling. `unset` is the key's default.

    The driver has no other comparison with a boolean's text.
    """
    word = str(text or "").lower()
    return word in _TRUE if word else unset


def is_percentage(text: str | None) -> bool:
    return _PERCENT.fullmatch((text or "").strip()) is not None


def amount_bytes(text: str, total_bytes: int) -> int:
    """Parses `limits.memory`: a size, or a percentage of `total_bytes`, which QEMU gets in whole MiB.

    Raises ValueError as `size_bytes`.
    """
    found = _PERCENT.fullmatch(text.strip())
    if found is None:
        return size_bytes(text)
    return total_bytes // 100 * int(found["number"]) // BYTES_PER_MIB * BYTES_PER_MIB


def size_bytes(text: str) -> int:
    """Parses `4GiB`, `10GB` or `1048576`. Raises ValueError otherwise, as for percentages, which LXD also accepts."""
    found = _SIZE.fullmatch(text.strip())
    unit = found["unit"] if found else "?"
    factor = _UNITS.get("kiB" if unit == "KiB" else unit)
    if found is None or factor is None:
        raise ValueError(f"'{text}' is not a size in bytes")
    return int(found["number"]) * factor


def parse_cores(text: str) -> tuple[int, tuple[int, ...]]:
    """Returns the number of cores and the pinned ones: `4` is any four, `0,2-3` pins three, and
    `sockets=2,cores=4,threads=1` of Incus is any eight. Raises ValueError otherwise.
    """
    if text.strip().isdecimal():
        return int(text), ()
    if "=" in text:
        return _topology_cores(text), ()
    pinned: set[int] = set()
    for part in text.split(","):
        found = _CORES.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"'{text}' is not a number of cores or a list of cores")
        first, last = int(found["first"]), int(found["last"] or found["first"])
        if not first <= last < first + _MAX_RANGE:
            raise ValueError(f"'{text}' is not a list of cores")
        pinned.update(range(first, last + 1))
    return len(pinned), tuple(sorted(pinned))


def _topology_cores(text: str) -> int:
    parts = dict(part.partition("=")[::2] for part in text.replace(" ", "").split(","))
    if not parts or parts.keys() - {*_TOPOLOGY} or not all(_NUMBER.fullmatch(one) for one in parts.values()):
        raise ValueError(f"'{text}' is not a number of cores or a list of cores")
    return math.prod(map(int, parts.values()))


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Returns a sort key that puts `disk2` before `disk10`."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"([0-9]+)", name) if part)
