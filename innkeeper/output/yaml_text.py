"""Writes JSON values as YAML 1.2, in blocks; quotes each text that YAML could read as something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def yaml_text(value: Any) -> str:
    """Returns the document without a final line end."""
    return "\n".join(_lines(value, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, member in value.items():
            yield from _member(f"{indent}{_scalar(str(name))}:", member, indent)
    elif isinstance(value, list | tuple) and value:
        for member in value:
            yield from _element(member, indent)
    else:
        yield indent + _scalar(value)


def _member(head: str, value: Any, indent: str) -> Iterator[str]:
    if _is_nested(value):
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield f"{head} {_scalar(value)}"


def _element(value: Any, indent: str) -> Iterator[str]:
    if not _is_nested(value):
        yield f"{indent}- {_scalar(value)}"
        return
    first, *others = _lines(value, indent + "  ")
    yield f"{indent}- {first[len(indent) + 2 :]}"
    yield from others


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
