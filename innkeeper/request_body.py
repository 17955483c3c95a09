"""The body of a request of the command: a form, urlencoded or multipart, or content."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from attrs import field, frozen


@frozen(kw_only=True)
class Body:
    """Fields of a form, of which a value of bytes is sent unchanged, and `files`; or `content`, which is no form."""

    fields: Sequence[tuple[str, str | bytes]] = field(factory=tuple)
    content: bytes | None = None
    files: Mapping[str, bytes] = field(factory=dict)

    def encoded(self) -> tuple[bytes, str]:
        """The bytes and their content type: that of data, urlencoded, or multipart if a value is bytes."""
        if self.content is not None:
            return self.content, "application/octet-stream"
        if not self.files and all(isinstance(value, str) for _, value in self.fields):
            return urlencode(list(self.fields)).encode("ascii"), "application/x-www-form-urlencoded"
        boundary = secrets.token_hex(16)
        parts = [_part(boundary, name, value) for name, value in self.fields]
        parts += [_part(boundary, name, data, file_name=name) for name, data in self.files.items()]
        return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f'multipart/form-data; boundary="{boundary}"'


def _part(boundary: str, name: str, value: str | bytes, *, file_name: str = "") -> bytes:
    data = value.encode() if isinstance(value, str) else value
    # Without a file name the part is a field, whatever its type.
    named = f'; filename="{file_name}"' if file_name else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n'
    kind = "" if isinstance(value, str) else "Content-Type: application/octet-stream\r\n"
    return (head + kind + "\r\n").encode() + data + b"\r\n"
