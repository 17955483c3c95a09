"""Tokens by which a form proves that a page of its session sent it, masked anew for each answer.

Pages are compressed, and the length of a compressed page depends on everything in it. An attacker who could measure
many pages with text of his choice would find a secret that is in all of them. Here no two pages have the same text:
each has a random pad and the secret XOR that pad.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

SECRET_BYTES = 32


def csrf_secret(session_token: str) -> bytes:
    """Returns what the tokens of a session prove. It reveals nothing of the session's cookie."""
    return hmac.new(session_token.encode(), b"innkeeper csrf", hashlib.sha256).digest()


def masked(secret: bytes) -> str:
    """Returns a token for one answer: hexadecimal, a random pad and the secret XOR the pad."""
    pad = secrets.token_bytes(SECRET_BYTES)
    return (pad + _xor(pad, secret)).hex()


def proves(given: str | None, secret: bytes) -> bool:
    """Whether `given`, which may be anything, is a token of the secret. Takes as long for every text of that length."""
    try:
        found = bytes.fromhex(given or "")
    except ValueError:
        return False
    if len(found) != 2 * SECRET_BYTES:
        return False
    return hmac.compare_digest(_xor(found[:SECRET_BYTES], found[SECRET_BYTES:]), secret)


def _xor(first: bytes, second: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(first, second, strict=True))
