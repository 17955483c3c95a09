"""The numbers of a search: `4`, `>=4`, `4..8`, with units, as sets of whole numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from attrs import field, frozen

from common.units import BYTES_PER_GB

HIGHEST = 2**62
_NUMBER = re.compile(r"(?P<amount>[0-9]{1,9}(?:\.[0-9]{1,3})?)\s?(?P<unit>[a-z]{0,4})", re.ASCII | re.IGNORECASE)
_COMPARISON = re.compile(r"(>=|<=|>|<|=)?\s?(.+)", re.DOTALL)

Range = tuple[int, int]  # both ends are part of it
Ranges = tuple[Range, ...]
ALL: Ranges = ((0, HIGHEST),)


@frozen(kw_only=True)
class Unit:
    """A unit of whole numbers. `plain` is the amount of a number without suffix, `near` how far from it equal ones are.

    What is shown rounded, such as 7.8 GiB, is found by the number that is shown.
    """

    plain: int = 1
    near: Decimal = Decimal(0)
    suffixes: Mapping[str, int] = field(factory=dict)
    described: str = ""


COUNT = Unit()
MEMORY_MIB = Unit(
    plain=1024,
    near=Decimal("51.2"),
    suffixes={"mib": 1, "m": 1, "gib": 1024, "g": 1024, "tib": 1024**2, "t": 1024**2},
    described=" of GiB, or with MiB, GiB or TiB",
)
STORAGE_BYTES = Unit(
    plain=BYTES_PER_GB,
    near=Decimal(BYTES_PER_GB) / 20,
    suffixes={
        "mb": BYTES_PER_GB // 1000, "m": BYTES_PER_GB // 1000, "gb": BYTES_PER_GB, "g": BYTES_PER_GB,
        "tb": BYTES_PER_GB * 1000, "t": BYTES_PER_GB * 1000,
    },
    described=" of GB, or with MB, GB or TB",
)  # fmt: skip


@frozen(kw_only=True)
class Number:
    """The numbers that one term is for. Comparisons all apply; numbers and ranges are alternatives."""

    range: Range
    is_comparison: bool


def parse_number(text: str, unit: Unit) -> Number | None:
    """Returns what a term such as `>=4` or `4..8` is for; None if it is neither."""
    low, dots, high = text.strip().partition("..")
    if dots:
        first, last = _amount(low, unit), _amount(high, unit)
        if first is None or last is None or first > last:
            return None
        return Number(range=(_up(first - unit.near), _down(last + unit.near)), is_comparison=False)
    match = _COMPARISON.fullmatch(text.strip())
    amount = _amount(match[2], unit) if match else None
    if match is None or amount is None:
        return None
    sign = match[1] or "="
    if sign == "=":
        return Number(range=(_up(amount - unit.near), _down(amount + unit.near)), is_comparison=False)
    if sign in {">", ">="}:
        low_end = _down(amount) + 1 if sign == ">" else _up(amount)
        return Number(range=(low_end, HIGHEST), is_comparison=True)
    return Number(range=(0, _up(amount) - 1 if sign == "<" else _down(amount)), is_comparison=True)


def _amount(text: str, unit: Unit) -> Decimal | None:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return None
    suffix = match["unit"].lower()
    factor = unit.suffixes.get(suffix) if suffix else unit.plain
    return None if factor is None else Decimal(match["amount"]) * factor


def _up(value: Decimal) -> int:
    return max(0, int(value.to_integral_value(ROUND_CEILING)))


def _down(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_FLOOR))


def ranges_of(terms: Iterable[tuple[Number, bool]]) -> Ranges:
    """Returns the numbers for which all terms are; those with True are excluded. Empty: none."""
    wanted, excluded = list[Range](), list[Range]()
    low, high = 0, HIGHEST
    for number, negated in terms:
        if negated:
            excluded.append(number.range)
        elif number.is_comparison:
            low, high = max(low, number.range[0]), min(high, number.range[1])
        else:
            wanted.append(number.range)
    found = [(max(low, first), min(high, last)) for first, last in wanted or ALL]
    for first, last in excluded:
        found = [part for one in found for part in ((one[0], min(one[1], first - 1)), (max(one[0], last + 1), one[1]))]
    return tuple(sorted({one for one in found if one[0] <= one[1]}))


def is_in(ranges: Ranges, value: int | None) -> bool:
    """Whether a known number is in one of the ranges."""
    return value is not None and any(first <= value <= last for first, last in ranges)
