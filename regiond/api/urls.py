"""Builds resource URIs (absolute, percent-encoded paths) and parses ids from paths."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from common.errors import NotFound

BASE = "/MAAS/api/2.0/"

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_ROW_ID_MAX = 2**31 - 1
_OPERATION_ID_MAX = 2**63 - 1


def uri(*segments: str | int, slash: bool = True) -> str:
    return BASE + "/".join([_quoted(str(segment)) for segment in segments]) + ("/" if slash else "")


@lru_cache(maxsize=10_000)  # responses repeat a few segments
def _quoted(segment: str) -> str:
    return quote(segment, safe="")


def host_uri(host_id: int) -> str:
    return uri("vm-hosts", host_id)


def machine_uri(system_id: str) -> str:
    return uri("machines", system_id)


def operation_uri(operation_id: int) -> str:
    return uri("operations", operation_id)


def id_in(text: str, what: str, *, largest: int = _ROW_ID_MAX) -> int:
    """The id in a path. Raises NotFound for text that cannot be an id."""
    if _ID.fullmatch(text) is None or int(text) > largest:
        raise NotFound(f"No {what} matches the given query.")
    return int(text)


def operation_id_in(text: str) -> int:
    return id_in(text, "Operation", largest=_OPERATION_ID_MAX)
