"""Parses OAuth 1.0 PLAINTEXT signatures as five clients write them, and rejects reused nonces."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, unquote_plus

from attrs import field, frozen

from common.errors import NotAuthenticated

WINDOW_S = 300
MAX_HEADER_BYTES = 4096
_REQUIRED = ("consumer_key", "token", "signature", "signature_method", "timestamp", "nonce")
_SCHEME = re.compile(r"\s*oauth(?:\s+|$)", re.IGNORECASE)
# The lookbehind lets a match start only at the start of a name: without it a long run of letters costs quadratic time.
_PARAMETER = re.compile(r'(?<![A-Za-z0-9_])([A-Za-z0-9_]++)\s*+=\s*+(?:"([^"]*)"|([^",\s]*))')
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


@frozen(kw_only=True)
class Signature:
    """The OAuth parameters of a request, not yet checked against an API key."""

    consumer_key: str
    token_key: str
    token_secret: str = field(repr=False)
    timestamp_s: int
    nonce: str


def read_signature(authorization: str | None, parameters: Iterable[tuple[str, str]]) -> Signature | None:
    """Reads the signature from the header, else from query or form parameters (already unescaped).

    Returns None if one of the six parameters is missing: the request is unsigned. Raises NotAuthenticated for a header
    of more than 4 KiB and for a signature that no API key can produce.
    """
    if authorization is not None and len(authorization.encode("utf-8", "replace")) > MAX_HEADER_BYTES:
        raise _rejected(f"The Authorization header is longer than {MAX_HEADER_BYTES} bytes")
    given = header_parameters(authorization or "")
    if not all(name in given for name in _REQUIRED):
        given = {name.removeprefix("oauth_"): value for name, value in parameters if name.startswith("oauth_")}
    if not all(name in given for name in _REQUIRED):
        return None
    return _checked(given)


def header_parameters(authorization: str) -> Mapping[str, str]:
    """Parameters by name without `oauth_`. Ignores order, realm and quotes; unescapes values once (`+` is a blank).

    Unauthenticated clients reach this function, so its time is linear in the length of the header.
    """
    scheme = _SCHEME.match(authorization)
    if scheme is None:
        return {}
    found = _PARAMETER.findall(authorization, scheme.end())
    return {name.removeprefix("oauth_"): unquote_plus(quoted or bare) for name, quoted, bare in found}


def _checked(given: Mapping[str, str]) -> Signature:
    if given["signature_method"].upper() != "PLAINTEXT":
        raise _rejected(f"Unsupported signature method: {given['signature_method'][:40]} (use PLAINTEXT)")
    if _TIMESTAMP.fullmatch(given["timestamp"]) is None:
        raise _rejected(f"Invalid timestamp: {given['timestamp'][:40]}")
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


def _rejected(detail: str) -> NotAuthenticated:
    return NotAuthenticated(f"Authorization Error: {detail!r}")


class NonceWindow:
    """Remembers used nonces while their timestamps are valid, in bounded memory.

    The window is per region process: another region accepts the same request once more.
    """

    def __init__(self, *, max_nonces: int = 100_000) -> None:
        self._max_nonces = max_nonces
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def check_age(self, signature: Signature, now_s: float) -> None:
        """Raises NotAuthenticated if the timestamp is more than 300 s old; a future one is accepted."""
        age_s = now_s - signature.timestamp_s
        if age_s > WINDOW_S:
            raise _rejected(
                f"Expired timestamp: given {signature.timestamp_s} and now {int(now_s)} "
                f"has a greater difference than threshold {WINDOW_S}"
            )

    def use(self, signature: Signature, now_s: float) -> None:
        """Records the nonce; call it after the key is verified. Raises NotAuthenticated if it was used before."""
        self._drop_expired(now_s)
        used = hashlib.sha256(f"{signature.token_key} {signature.nonce}".encode("utf-8", "replace")).digest()
        if used in self._used:
            raise _rejected(f"Nonce already used: {signature.nonce[:80]}")
        self._used[used] = max(now_s, signature.timestamp_s) + WINDOW_S

    def _drop_expired(self, now_s: float) -> None:
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] >= now_s and len(self._used) < self._max_nonces:
                return
            del self._used[oldest]
