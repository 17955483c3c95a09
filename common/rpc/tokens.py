"""The text that `innkeeper rack token` prints and `rackd join` takes."""

from __future__ import annotations

import base64
import binascii
import json
import re

from attrs import field, frozen

from common.errors import InvalidRequest, TokenRefused
from common.rpc.peers import Address

PREFIX = "innkeeper-join-"
_MAX_TEXT = 8192
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@frozen(kw_only=True)
class JoinToken:
    """Where the region is, how to know it, and the secret that it takes once."""

    addresses: tuple[str, ...]
    authority_fingerprint: str
    secret: str = field(repr=False)


def encode_token(token: JoinToken) -> str:
    """One word of letters, digits, `-` and `_`."""
    plain = {
        "addresses": list(token.addresses),
        "authority": token.authority_fingerprint,
        "secret": token.secret,
    }
    data = json.dumps(plain, separators=(",", ":")).encode()
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_token(text: str) -> JoinToken:
    """Raises TokenRefused that says what is wrong with the text, and never repeats it."""
    text = "".join(text.split())  # terminals and mails break long words
    if not text.startswith(PREFIX):
        raise TokenRefused(f"this is not a join token: one starts with {PREFIX} (make one with: innkeeper rack token)")
    plain = _unpacked(text[len(PREFIX) :])
    addresses, authority, secret = plain.get("addresses"), plain.get("authority"), plain.get("secret")
    if not isinstance(addresses, list) or not addresses or not all(isinstance(each, str) for each in addresses):
        raise TokenRefused("the join token names no address of a region")
    if not isinstance(authority, str) or not _FINGERPRINT.fullmatch(authority):
        raise TokenRefused("the join token does not carry the fingerprint of the region's authority")
    if not isinstance(secret, str) or not secret:
        raise TokenRefused("the join token carries no secret")
    for address in addresses:
        _check_address(address)
    return JoinToken(addresses=tuple(addresses), authority_fingerprint=authority, secret=secret)


def _unpacked(packed: str) -> dict[str, object]:
    damaged = TokenRefused("the join token is damaged or incomplete: copy it again, all of it")
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
        raise TokenRefused(f"the join token names a region in a way that is no address: {error}") from error
