"""Entity tags: strong hashes of answers with one object, and the headers that compare them (RFC 9110)."""

from __future__ import annotations

import hashlib
import re

from attrs import evolve

from regiond.api.replies import Reply, text_reply

GZIP = "-gzip"  # ends the tag of a compressed answer, because a strong tag names one sequence of bytes
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_ANY = "*"


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_any(header: str) -> bool:
    return header.strip() == _ANY


def matches(header: str, etag: str) -> bool:
    """Returns whether the header `If-Match` or `If-None-Match` names the tag, also as that of the compressed answer."""
    wanted = etag.strip('"')
    return is_any(header) or any(tag.removesuffix(GZIP) == wanted for tag in _TAG.findall(header))


def tagged(reply: Reply, if_none_match: str | None) -> Reply:
    """Returns a successful answer with its tag; 304 without a body if the client has it already."""
    if reply.status != 200 or reply.chunks is not None or reply.upgrade is not None:
        return reply
    etag = reply.headers.get("ETag") or etag_of(reply.body)
    headers = {**reply.headers, "ETag": etag}
    if if_none_match is not None and matches(if_none_match, etag):
        return evolve(reply, status=304, body=b"", packed=None, headers=headers)
    return evolve(reply, headers=headers)


def without_tag() -> Reply:
    """Returns the answer to a conditional change of an object without a tag, such as a list."""
    return text_reply(
        "If-Match: this path is not that of one object with an ETag, so there is nothing to compare. Send the request "
        "without the header.",
        status=412,
    )


def changed_since(etag: str) -> Reply:
    """Returns the answer to a change of an object that has changed since the client read it."""
    return text_reply(
        "If-Match: the object has changed since it was read. Read it again, then send the change with its new ETag.",
        status=412,
        headers={"ETag": etag},
    )
