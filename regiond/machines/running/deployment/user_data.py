"""Decodes the field `user_data` of `op=deploy`. Pure."""

from __future__ import annotations

import base64
import binascii

from common.units import BYTES_PER_MIB
from regiond.machines.running.deployment.mime_parts import rejected
from regiond.machines.running.deployment.user_data_kinds import is_recognized, parts_of

MAX_CONTENT_BYTES = BYTES_PER_MIB
_MAX_TEXT = 2 * MAX_CONTENT_BYTES  # base64 of base64, with line breaks in both


def decode_user_data(text: str) -> bytes | None:
    """Returns the user data, or None if the field is empty.

    The field is base64, with or without line breaks, or the content itself. Multipart clients encode it twice. The form
    is certain: content that cloud-init knows is never valid base64. Raises InvalidRequest for the field `user_data`,
    with the form found, if it is neither, holds more than 1 MiB, or cannot be used (see `parts_of`).
    """
    if len(text) > _MAX_TEXT:
        raise rejected(f"The field has {len(text)} characters. {_LIMIT}")
    if not text.strip():
        return None
    content = _decoded(text)
    if content is None:
        content = text.encode("utf-8", "replace")
        if not is_recognized(content):
            raise rejected(
                f"The field is neither valid base64 nor a format that cloud-init knows, such as a script or "
                f"#cloud-config; it begins with {text.lstrip()[:40]!r}."
            )
    elif not is_recognized(content):
        content = _decoded(content.decode("latin-1")) or content
    if len(content) > MAX_CONTENT_BYTES:
        raise rejected(f"The content has {len(content)} bytes. {_LIMIT}")
    return content if parts_of(content) else None


_LIMIT = f"User data has at most {MAX_CONTENT_BYTES // BYTES_PER_MIB} MiB; compress it with gzip."


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
