"""Compares a text with its golden file, or writes the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
WRITES = "INNKEEPER_GOLDEN_WRITES"  # an environment variable; if it is set, the tests write
_SHOWN_LINES = 80
_LINE = 120


class _Keyed(NamedTuple):
    key: str
    value: Any


def check(name: str, text: str) -> None:
    """Raises AssertionError with the difference, unless the file has this text. Writes it with `--write`."""
    path = FOLDER / name
    if os.environ.get(WRITES):
        path.write_text(text, encoding="utf-8")
        return
    golden = path.read_text(encoding="utf-8")
    if text == golden:
        return
    lines = unified_diff(golden.splitlines(), text.splitlines(), f"{name}, golden", f"{name}, now", lineterm="")
    shown = "\n".join(islice(lines, _SHOWN_LINES))
    raise AssertionError(f"{name} changed. If this is meant: python -m tests.golden --write\n{shown}")


def as_json(value: Any) -> str:
    """Returns the value with sorted keys; what fits a line has one."""
    return "\n".join(_lines(value, "", "")) + "\n"


def _lines(value: Any, indent: str, comma: str) -> Iterator[str]:
    """Lines of a value, which begins with its key if it has one."""
    key, inner = value if isinstance(value, _Keyed) else ("", value)
    whole = f"{indent}{key}{json.dumps(inner, sort_keys=True)}{comma}"
    if len(whole) <= _LINE or not inner or not isinstance(inner, Mapping | list | tuple):
        yield whole
        return
    is_map = isinstance(inner, Mapping)
    elements = [_Keyed(f"{json.dumps(name)}: ", inner[name]) for name in sorted(inner)] if is_map else [*inner]
    yield f"{indent}{key}{'{' if is_map else '['}"
    for number, element in enumerate(elements, 1):
        yield from _lines(element, indent + " ", "," if number < len(elements) else "")
    yield f"{indent}{'}' if is_map else ']'}{comma}"
