"""Parses OAuth 1.0 signatures as six clients write them, and API keys in `Authorization: Bearer`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, unquote_plus

from attrs import field, frozen

from common.errors import InvalidRequest, NotAuthenticated
from regiond.accounts.model import ApiKey, SignatureMethod

MAX_HEADER_BYTES = 60 * 1024  # maas-client-go repeats the fields of a request there, user data too
_REQUIRED = ("consumer_key", "token", "signature", "signature_method", "timestamp", "nonce")
_BEARER = re.compile(r"\s*bearer\s+(\S+)\s*", re.IGNORECASE)
_SCHEME = re.compile(r"\s*oauth(?:\s+|$)", re.IGNORECASE)
# The lookbehind lets a match start only at the start of a name: without it a long run of letters costs quadratic time.
_PARAMETER = re.compile(r'(?<![A-Za-z0-9_])([A-Za-z0-9_]++)\s*+=\s*+(?:"([^"]*)"|([^",\s]*))')
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


@frozen(kw_only=True)
class Signature:
    """How a request is signed, not yet checked against an API key.

    With PLAINTEXT, `token_secret` is the secret that was sent; with HMAC-SHA1, `digest` is what the client computed.
    Without a timestamp the key was sent as a bearer token.
    """

    consumer_key: str
    token_key: str
    token_secret: str = field(default="", repr=False)
    method: SignatureMethod = SignatureMethod.PLAINTEXT
    digest: str = ""
    timestamp_s: int | None = None
    nonce: str = ""


def read_signature(authorization: str | None, parameters: Iterable[tuple[str, str]]) -> Signature | None:
    """Reads the signature from the header, else from query or form parameters (already unescaped).

    A header `Bearer CONSUMER:TOKEN:SECRET` counts as a signature. Returns None if that is not a key, or if one of the
    six parameters is missing: the request is unsigned. Raises NotAuthenticated for a header of more than
    `MAX_HEADER_BYTES` and for a signature that no API key can produce.
    """
    if authorization is not None and len(authorization.encode("utf-8", "replace")) > MAX_HEADER_BYTES:
        raise rejected(f"The Authorization header is longer than {MAX_HEADER_BYTES} bytes")
    bearer = _BEARER.fullmatch(authorization or "")
    if bearer is not None:
        return _of_bearer(bearer[1])
    given = header_parameters(authorization or "")
    if not all(name in given for name in _REQUIRED):
        given = {name.removeprefix("oauth_"): value for name, value in parameters if name.startswith("oauth_")}
    if not all(name in given for name in _REQUIRED):
        return None
    return _checked(given)


def header_parameters(authorization: str) -> Mapping[str, str]:
    """The `oauth_` parameters, by name without that. Ignores order and quotes; unescapes values once (`+` is a blank).

    Unauthenticated clients reach this function, so its time is linear in the length of the header.
    """
    scheme = _SCHEME.match(authorization)
    if scheme is None:
        return {}
    found = _PARAMETER.findall(authorization, scheme.end())
    return {
        name.removeprefix("oauth_"): unquote_plus(quoted or bare)
        for name, quoted, bare in found
        if name.startswith("oauth_")
    }


def _of_bearer(text: str) -> Signature | None:
    try:
        key = ApiKey.parse(text)
    except InvalidRequest:
        return None
    return Signature(consumer_key=key.consumer_key, token_key=key.token_key, token_secret=key.token_secret)


def _checked(given: Mapping[str, str]) -> Signature:
    method = given["signature_method"].upper()
    if method not in set(SignatureMethod):
        raise rejected(
            f"Unsupported signature method: {given['signature_method'][:40]} (use {' or '.join(SignatureMethod)})"
        )
    if _TIMESTAMP.fullmatch(given["timestamp"]) is None:
        raise rejected(f"Invalid timestamp: {given['timestamp'][:40]}")
    if method == SignatureMethod.HMAC_SHA1:
        return Signature(
            consumer_key=given["consumer_key"],
            token_key=given["token"],
            method=SignatureMethod.HMAC_SHA1,
            digest=given["signature"].replace(" ", "+"),  # a plus that was not escaped
            timestamp_s=int(given["timestamp"]),
            nonce=given["nonce"],
        )
    consumer_secret, ampersand, token_secret = given["signature"].partition("&")
    if consumer_secret or not ampersand:
        raise NotAuthenticated("Authorization Error: Invalid API key.")
    return Signature(
        consumer_key=given["consumer_key"],
        token_key=given["token"],
        token_secret=unquote(token_secret),
        timestamp_s=int(given["timestamp"]),
        nonce=given["nonce"],
    )


def rejected(detail: str) -> NotAuthenticated:
    """The error of a signature that cannot be valid, in the words of MAAS."""
    return NotAuthenticated(f"Authorization Error: {detail!r}")
