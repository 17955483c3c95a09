"""The kinds of user data that cloud-init understands, and their expansion to parts. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from common.units import BYTES_PER_MIB
from regiond.machines.running.deployment import mime_parts
from regiond.machines.running.deployment.mime_parts import Part, rejected

MAX_EXPANDED_BYTES = 16 * BYTES_PER_MIB
_GZIP = b"\x1f\x8b"
_MAX_GZIP_MEMBERS = 16  # each costs a copy of the data that follow it
_MIME_MARK, _MIME_MARK_WITHIN = b"mime-version:", 4096  # where cloud-init looks for it
# By the beginning of the content after white space, in upper or lower case; the longest that matches counts.
CONTENT_TYPES: Mapping[str, str] = {
    "#!": "text/x-shellscript",
    "#cloud-config": "text/cloud-config",
    "#cloud-config-archive": "text/cloud-config-archive",
    "#cloud-config-jsonp": "text/cloud-config-jsonp",
    "#cloud-boothook": "text/cloud-boothook",
    "#include": "text/x-include-url",
    "#include-once": "text/x-include-once-url",
    "#part-handler": "text/part-handler",
    "## template: jinja": "text/jinja2",
}
ACCEPTED = (
    "User data is a script that begins with #!, a text that begins with #cloud-config, #cloud-config-archive, "
    "#cloud-boothook, #include, #part-handler or '## template: jinja', a MIME message with a MIME-Version header, or "
    "one of these in gzip."
)
_LONGEST_FIRST = sorted(CONTENT_TYPES, key=len, reverse=True)


def is_recognized(content: bytes) -> bool:
    """Returns whether the content is gzip or MIME, or has the beginning of one of the other kinds."""
    return content.startswith(_GZIP) or _content_type(content) is not None or _is_mime(content)


def parts_of(content: bytes) -> tuple[Part, ...]:
    """Returns the parts of a user's data, in their order; none if it is blank.

    Raises InvalidRequest for the field `user_data`: unknown content, text that is not UTF-8, gzip that is damaged or
    holds more than 16 MiB, or a MIME message that cannot be split.
    """
    content = _expanded(content) if content.startswith(_GZIP) else content
    if not content.strip():
        return ()
    content_type = _content_type(content)
    if content_type is None:
        if _is_mime(content):
            return mime_parts.split(content)
        if content.startswith(_GZIP):
            raise rejected("The gzip data holds gzip data again, which cloud-init does not expand: compress it once.")
        raise rejected(f"The content begins with {_beginning(content)}, which cloud-init does not know. {ACCEPTED}")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise rejected(
            f"The content is not UTF-8: byte {error.start} is 0x{content[error.start]:02x}, and cloud-init ignores "
            "such text. Send binary data as a part of a MIME message in base64."
        ) from None
    return (Part(content_type=content_type, content=content, filename="user-data"),)


def _content_type(content: bytes) -> str | None:
    start = content.lstrip()[:32].lower().decode("ascii", "replace")
    return next((CONTENT_TYPES[prefix] for prefix in _LONGEST_FIRST if start.startswith(prefix)), None)


def _is_mime(content: bytes) -> bool:
    return _MIME_MARK in content[:_MIME_MARK_WITHIN].lower()


def _beginning(content: bytes) -> str:
    start = content.lstrip()[:40]
    return repr(start.decode("ascii")) if start.isascii() else f"the bytes {start[:16].hex(' ')}"


def _expanded(content: bytes) -> bytes:
    """Returns the unpacked content; never holds more than the limit in memory.

    A second gzip inside is not expanded, as in cloud-init.
    """
    found, rest = b"", content
    for _ in range(_MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            found += member.decompress(rest, MAX_EXPANDED_BYTES + 1 - len(found))
        except zlib.error as error:
            raise rejected(f"The gzip data is damaged: {error}.") from None
        if len(found) > MAX_EXPANDED_BYTES:
            raise rejected(f"The gzip data holds more than {MAX_EXPANDED_BYTES // BYTES_PER_MIB} MiB.")
        if not member.eof:
            raise rejected("The gzip data is cut off: its end is missing.")
        rest = member.unused_data.lstrip(b"\0")
        if not rest:
            return found
    raise rejected(f"The gzip data has more than {_MAX_GZIP_MEMBERS} members.")
