"""OAuth 1.0 with PLAINTEXT signatures, as five different clients write it; and the window that catches repeats."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, unquote_plus

from attrs import field, frozen

from common.errors import NotAuthenticated

WINDOW_S = 300
_NEEDED = ("consumer_key", "token", "signature", "signature_method", "timestamp", "nonce")
_SCHEME = re.compile(r"\s*oauth(?:\s+|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'([A-Za-z0-9_]+)\s*=\s*(?:"([^"]*)"|([^",\s]*))')
_MOMENT = re.compile(r"[0-9]{1,12}", re.ASCII)


@frozen(kw_only=True)
class Signature:
    """What one signed request says of itself. Nothing in it is checked yet."""

    consumer_key: str
    token_key: str
    token_secret: str = field(repr=False)
    timestamp_s: int
    nonce: str


def read_signature(authorization: str | None, parameters: Iterable[tuple[str, str]]) -> Signature | None:
    """The signature from the header, else from query or form parameters (already unescaped); None when there is none.

    A request that lacks one of the six parameters counts as unsigned. Raises NotAuthenticated for a signature that
    no key of ours can have made.
    """
    given = header_parameters(authorization or "")
    if not all(name in given for name in _NEEDED):
        given = {name.removeprefix("oauth_"): value for name, value in parameters if name.startswith("oauth_")}
    if not all(name in given for name in _NEEDED):
        return None
    return _checked(given)


def header_parameters(authorization: str) -> Mapping[str, str]:
    """Names without `oauth_`; order, realm and quotes do not matter, values are unescaped once (`+` is a blank)."""
    scheme = _SCHEME.match(authorization)
    if scheme is None:
        return {}
    found = _PARAMETER.findall(authorization, scheme.end())
    return {name.removeprefix("oauth_"): unquote_plus(quoted or bare) for name, quoted, bare in found}


def _checked(given: Mapping[str, str]) -> Signature:
    if given["signature_method"].upper() != "PLAINTEXT":
        raise _refused(f"Unsupported signature method: {given['signature_method'][:40]} (use PLAINTEXT)")
    if _MOMENT.fullmatch(given["timestamp"]) is None:
        raise _refused(f"Invalid timestamp: {given['timestamp'][:40]}")
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


def _refused(detail: str) -> NotAuthenticated:
    return NotAuthenticated(f"Authorization Error: {detail!r}")


class NonceWindow:
    """Remembers which nonces a key has used, for as long as their timestamps are accepted, in bounded memory.

    It belongs to one region process: another one may accept the same request once more.
    """

    def __init__(self, *, remembers: int = 100_000) -> None:
        self._remembers = remembers
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def check_age(self, signature: Signature, now_s: float) -> None:
        """Raises NotAuthenticated when the timestamp is more than 300 s past; one in the future is accepted."""
        age_s = now_s - signature.timestamp_s
        if age_s > WINDOW_S:
            raise _refused(
                f"Expired timestamp: given {signature.timestamp_s} and now {int(now_s)} "
                f"has a greater difference than threshold {WINDOW_S}"
            )

    def use(self, signature: Signature, now_s: float) -> None:
        """Call once the key is known to be right. Raises NotAuthenticated when this nonce was used before."""
        self._forget(now_s)
        used = hashlib.sha256(f"{signature.token_key} {signature.nonce}".encode("utf-8", "replace")).digest()
        if used in self._used:
            raise _refused(f"Nonce already used: {signature.nonce[:80]}")
        self._used[used] = max(now_s, signature.timestamp_s) + WINDOW_S

    def _forget(self, now_s: float) -> None:
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest] >= now_s and len(self._used) < self._remembers:
                return
            del self._used[oldest]
