"""Files of users."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode

from regiond.api.declaration.serializer import STR, Serializer, extended, fields_of, key, serializer
from regiond.api.urls import uri
from regiond.files.model import FileWithContent, StoredFile


def _anonymous_uri(file: StoredFile) -> str:
    return f"{uri('files')}?{urlencode({'op': 'get_by_key', 'key': file.key})}"


FILE_JSON: Serializer[StoredFile] = serializer(
    "File",
    key("filename", STR, lambda file: file.filename),
    key("anon_resource_uri", STR, _anonymous_uri),
    *fields_of(StoredFile, "size=size_bytes updated=updated_at"),
    key("resource_uri", STR, lambda file: uri("files", file.filename)),
)
FILE_WITH_CONTENT_JSON: Serializer[FileWithContent] = extended(
    "FileWithContent",
    FILE_JSON,
    lambda found: found.file,
    key("content", STR, lambda found: b64encode(found.content).decode("ascii")),
)
