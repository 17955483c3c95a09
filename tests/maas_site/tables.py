"""The form of the made-up MAAS: rows of tables, with MAAS's names of tables and columns."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
Tables = dict[str, list[Row]]

JOINED = "2026-01-15 08:00:00+00"
SYSTEM_ID_LETTERS = "34678abcdefghkmnpqrstwxy"
MAAS_POOL, DEFAULT_ZONE = 0, 1


def system_id(number: int) -> str:
    """Six characters of those that MAAS uses, different for each number."""
    found = ""
    value = number * 7_919_317 % 24**6
    for _ in range(6):
        value, rest = divmod(value, 24)
        found += SYSTEM_ID_LETTERS[rest]
    return found


def merged(*parts: Tables) -> Tables:
    """The rows of all parts, in their order."""
    whole: Tables = {}
    for part in parts:
        for name, rows in part.items():
            whole.setdefault(name, []).extend(rows)
    return whole
