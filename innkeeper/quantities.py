"""Converts amounts as people type them, such as `2G` and `0-3,5`, to what a field of the region takes.

The region's description gives the format of a field. Numbers without a unit are sent unchanged. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from common.errors import InvalidRequest

_SIZE = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,9})?)(?P<unit>[A-Za-z]*)", re.ASCII)
_DISK = re.compile(
    r"(?P<label>[A-Za-z0-9]+:)?(?P<size>\d{1,9}(?:\.\d{1,9})?[A-Za-z]+)(?P<tags>\(.*\))?", re.ASCII | re.DOTALL
)
_RANGE = re.compile(r"(?P<first>\d{1,9})(?:-(?P<last>\d{1,9}))?", re.ASCII)
_BETWEEN_DISKS = re.compile(r",(?![^(]*\))")
_MAX_RANGE = 4096
_BINARY: Mapping[str, int] = {"mib": 2**20, "gib": 2**30, "tib": 2**40, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_DECIMAL: Mapping[str, int] = {"mb": 10**6, "gb": 10**9, "tb": 10**12}
_MEMORY_UNITS = {**_BINARY, **_DECIMAL, "m": 2**20, "g": 2**30, "t": 2**40}
_DISK_UNITS = {**_BINARY, **_DECIMAL, "m": 10**6, "g": 10**9, "t": 10**12}
_MEMORY_FORMS = "a number of MiB such as 2048, or with a unit: 2048M (MiB), 2G (GiB), 1T (TiB)"
_DISK_FORMS = "a number of GB such as 8, or with a unit: 500M (MB), 8G (GB), 1T (TB), 8GiB"
_RANGE_FORMS = "ids and ranges such as 0-3,5"


def converted(name: str, value: str, format_: str | None) -> tuple[str, ...]:
    """The values of the field to send, in order. A format that is None or unknown leaves the value unchanged.

    Raises InvalidRequest that names the field, the value and the forms that it takes.
    """
    convert = _FORMATS.get(format_ or "")
    return (value,) if convert is None or not value.strip() else convert(name, value)


def _mebibytes(name: str, value: str) -> tuple[str, ...]:
    match = _SIZE.fullmatch(value.strip())
    if match is None or (match["unit"] and match["unit"].lower() not in _MEMORY_UNITS):
        raise _invalid(name, value, _MEMORY_FORMS)
    if not match["unit"]:
        return (value,)
    mebibytes, rest = divmod(Decimal(match["number"]) * _MEMORY_UNITS[match["unit"].lower()], 2**20)
    if rest:
        raise _invalid(name, value, f"a whole number of MiB: {_MEMORY_FORMS}")
    return (str(int(mebibytes)),)


def _disks(name: str, value: str) -> tuple[str, ...]:
    return (",".join(_disk(name, part) for part in _BETWEEN_DISKS.split(value)),)


def _disk(name: str, text: str) -> str:
    """Leaves anything but a size with a unit to the region, which knows the whole syntax."""
    match = _DISK.fullmatch(text.strip())
    if match is None:
        return text
    size = _SIZE.fullmatch(match["size"])
    if size is None or size["unit"].lower() not in _DISK_UNITS:
        raise _invalid(name, text.strip(), _DISK_FORMS)
    gigabytes = Decimal(size["number"]) * _DISK_UNITS[size["unit"].lower()] / 10**9
    return f"{match['label'] or ''}{_plain(gigabytes)}{match['tags'] or ''}"


def _integers(name: str, value: str) -> tuple[str, ...]:
    found: list[int] = []
    for part in value.split(","):
        match = _RANGE.fullmatch(part.strip())
        first = int(match["first"]) if match else 0
        last = int(match["last"] or first) if match else -1
        if last < first or last - first >= _MAX_RANGE:
            raise _invalid(name, value, _RANGE_FORMS)
        found += range(first, last + 1)
    return tuple(str(one) for one in dict.fromkeys(found))


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _invalid(name: str, value: str, forms: str) -> InvalidRequest:
    return InvalidRequest(f"{name}={value}: give {forms}.")


_FORMATS: Mapping[str, Callable[[str, str], tuple[str, ...]]] = {
    "mib": _mebibytes,
    "disks_gb": _disks,
    "integers": _integers,
}
