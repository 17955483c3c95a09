"""Files of users: the value and its limits."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from common.errors import InvalidRequest

MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 100  # of one user
MAX_FILENAME = 255


@frozen(kw_only=True)
class StoredFile:
    """A file without its content. Whoever has its `key` can read it without an account."""

    filename: str
    key: str = field(repr=False)
    size_bytes: int
    updated_at: datetime


@frozen(kw_only=True)
class FileWithContent:
    file: StoredFile
    content: bytes = field(repr=False)


def check_file(filename: str, content: bytes) -> None:
    """Raises InvalidRequest for the fields `filename` and `file`."""
    if not 0 < len(filename) <= MAX_FILENAME or not filename.isprintable():
        raise InvalidRequest.of({"filename": [f"Use 1 to {MAX_FILENAME} printable characters."]})
    if len(content) > MAX_FILE_BYTES:
        raise InvalidRequest.of(
            {"file": [f"The file has {len(content)} bytes; the limit is {MAX_FILE_BYTES} (1 MiB)."]}
        )
