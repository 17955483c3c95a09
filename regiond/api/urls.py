"""Builds resource URIs (absolute, percent-encoded paths) and parses ids from paths."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from common.errors import NotFound
from regiond.requests.identifiers import ID_PREFIX, ROW_ID_MAX, as_id
from regiond.requests.validation_messages import no_object

BASE = "/MAAS/api/2.0/"

_OPERATION_ID_MAX = 2**63 - 1


def uri(*segments: str | int, slash: bool = True) -> str:
    return BASE + "/".join([quoted(str(segment)) for segment in segments]) + ("/" if slash else "")


@lru_cache(maxsize=10_000)  # responses repeat a few segments
def quoted(segment: str) -> str:
    """Returns the segment of a path, percent-encoded."""
    return quote(segment, safe="")


def host_uri(host_id: int) -> str:
    return uri("vm-hosts", host_id)


def machine_uri(system_id: str) -> str:
    return uri("machines", system_id)


def operation_uri(operation_id: int) -> str:
    return uri("operations", operation_id)


def id_in(text: str, what: str, *, largest: int = ROW_ID_MAX) -> int:
    """Returns the id in a path, also from `id:7`. Raises NotFound for text that cannot be an id."""
    found = as_id(text.removeprefix(ID_PREFIX), largest=largest)
    if found is None:
        raise NotFound(no_object(what, text))
    return found


def operation_id_in(text: str) -> int:
    return id_in(text, "operation", largest=_OPERATION_ID_MAX)
