"""Encodes and decodes join tokens, which `innkeeper rack token` prints and `rackd join` takes."""

from __future__ import annotations

import base64
import binascii
import json
import re

from attrs import field, frozen

from common.errors import InvalidRequest, TokenRejected
from common.rpc.peers import Address

PREFIX = "innkeeper-join-"
_MAX_TEXT = 8192
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class JoinToken:
    """The region's addresses, the fingerprint of its authority, and a secret that is valid once."""

    addresses: tuple[str, ...]
    authority_fingerprint: str
    secret: str = field(repr=False)


def encode_token(token: JoinToken) -> str:
    """Returns the token as one word of letters, digits, `-` and `_`."""
    plain = {
        "addresses": list(token.addresses),
        "authority": token.authority_fingerprint,
        "secret": token.secret,
    }
    data = json.dumps(plain, separators=(",", ":")).encode()
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_token(text: str) -> JoinToken:
    """Raises TokenRejected with the problem; its message does not contain the text."""
    text = "".join(text.split())  # terminals and mail programs wrap long words
    if not text.startswith(PREFIX):
        raise TokenRejected(f"this is not a join token, which starts with {PREFIX}. Get one with: innkeeper rack token")
    plain = _unpacked(text[len(PREFIX) :])
    addresses, authority, secret = plain.get("addresses"), plain.get("authority"), plain.get("secret")
    if not isinstance(addresses, list) or not addresses or not all(isinstance(each, str) for each in addresses):
        raise TokenRejected("the join token has no region address")
    if not isinstance(authority, str) or not _FINGERPRINT.fullmatch(authority):
        raise TokenRejected("the join token has no authority fingerprint")
    if not isinstance(secret, str) or not secret:
        raise TokenRejected("the join token has no secret")
    for address in addresses:
        _check_address(address)
    return JoinToken(addresses=tuple(addresses), authority_fingerprint=authority, secret=secret)


def _unpacked(packed: str) -> dict[str, object]:
    damaged = TokenRejected("the join token is damaged or incomplete: copy the whole token again")
    if len(packed) > _MAX_TEXT:
        raise damaged
    try:
        padded = packed + "=" * (-len(packed) % 4)
        plain = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(plain, dict):
        raise damaged
    return plain


def _check_address(text: str) -> None:
    try:
        Address.parse(text)
    except InvalidRequest as error:
        raise TokenRejected(f"the join token has an invalid region address: {error}") from error
