"""The fields that add a machine to affinity and anti-affinity groups."""

from __future__ import annotations

from regiond.api.declaration.field_types import TextList
from regiond.api.declaration.fields import Field

_GROUPS = TextList(commas=True, max_length=80, max_items=64)
_AFFINITY = (
    "Groups with whose machines it shares a host, separated by commas; GROUP:soft prefers such a host and may use "
    "another one"
)
_ANTI_AFFINITY = (
    "Groups with whose machines it shares no server, separated by commas; GROUP:soft prefers such a host and may use "
    "another one"
)
AFFINITY = (
    Field("affinity", _GROUPS, f"{_AFFINITY}.", recorded=True, default=()),
    Field("anti_affinity", _GROUPS, f"{_ANTI_AFFINITY}.", recorded=True, default=()),
)
NEW_AFFINITY = (
    Field(
        "affinity", _GROUPS, f"{_AFFINITY}. Replaces its affinity groups; empty for none. Moves nothing.", recorded=True
    ),
    Field(
        "anti_affinity",
        _GROUPS,
        f"{_ANTI_AFFINITY}. Replaces its anti-affinity groups; empty for none. Moves nothing.",
        recorded=True,
    ),
)
