"""Tags, and the numbers of machines and hosts that a request tagged."""

from __future__ import annotations

from regiond.api.declaration.serializer import STR, Serializer, fields_of, key, serializer
from regiond.api.urls import uri
from regiond.tags.model import Tag, TaggedNodes

TAG_JSON: Serializer[Tag] = serializer(
    "Tag",
    *fields_of(Tag, "name comment definition kernel_opts"),
    key("resource_uri", STR, lambda tag: uri("tags", tag.name)),
)
TAGGED_NODES_JSON: Serializer[TaggedNodes] = serializer("TaggedNodes", *fields_of(TaggedNodes, "added removed"))
REBUILT_TAG_JSON: Serializer[Tag] = serializer("RebuiltTag", key("rebuilding", STR, lambda tag: tag.name))
