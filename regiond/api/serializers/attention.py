"""The JSON of an item that needs attention, and of how many there are."""

from __future__ import annotations

from regiond.api.declaration.serializer import INT, Serializer, fields_of, key, mapping, serializer
from regiond.attention.model import AttentionCounts, AttentionItem

ATTENTION_JSON: Serializer[AttentionItem] = serializer(
    "AttentionItem",
    *fields_of(
        AttentionItem,
        "id kind severity object=object_type object_id name since text cause remedy host_id host_name pool zone",
    ),
)
ATTENTION_COUNTS_JSON: Serializer[AttentionCounts] = serializer(
    "AttentionCounts",
    key("total", INT, lambda counts: counts.total),
    key("broken", INT, lambda counts: counts.broken),
    key("kinds", mapping(INT), lambda counts: {kind.value: number for kind, number in counts.kinds.items()}),
)
