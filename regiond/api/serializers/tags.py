"""Tags, and the numbers of machines and hosts that a request tagged."""

from __future__ import annotations

from regiond.api.declaration.serializer import STR, Serializer, fields_of, key, serializer, uri_by_name
from regiond.tags.model import Tag, TaggedNodes

TAG_JSON: Serializer[Tag] = serializer(
    "Tag",
    *fields_of(Tag, "name comment definition kernel_opts"),
    uri_by_name("tags"),
)
TAGGED_NODES_JSON: Serializer[TaggedNodes] = serializer("TaggedNodes", *fields_of(TaggedNodes, "added removed"))
REBUILT_TAG_JSON: Serializer[Tag] = serializer("RebuiltTag", key("rebuilding", STR, lambda tag: tag.name))
