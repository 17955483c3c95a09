"""Tags, and the numbers of machines and hosts that a request tagged."""

from __future__ import annotations

from regiond.api.declaration.serializer import INT, STR, Serializer, key, serializer
from regiond.api.urls import uri
from regiond.tags.model import Tag, TaggedNodes

TAG_JSON: Serializer[Tag] = serializer(
    "Tag",
    key("name", STR, lambda tag: tag.name),
    key("comment", STR, lambda tag: tag.comment),
    key("definition", STR, lambda tag: tag.definition),
    key("kernel_opts", STR, lambda tag: tag.kernel_opts),
    key("resource_uri", STR, lambda tag: uri("tags", tag.name)),
)
TAGGED_NODES_JSON: Serializer[TaggedNodes] = serializer(
    "TaggedNodes",
    key("added", INT, lambda counts: counts.added),
    key("removed", INT, lambda counts: counts.removed),
)
REBUILT_TAG_JSON: Serializer[Tag] = serializer("RebuiltTag", key("rebuilding", STR, lambda tag: tag.name))
