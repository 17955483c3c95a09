"""Rejects reused nonces and timestamps out of bounds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from regiond.accounts.model import SignatureMethod
from regiond.api.pipeline.oauth import Signature, rejected

WINDOW_S = 300
_MANY_KEYS = 1000


class NonceWindow:
    """Remembers used nonces while their timestamps are valid, in bounded memory.

    The window is per region process: another region accepts the same request once more. What is remembered of
    HMAC-SHA1 is apart, for each key: who overhears such a request can only repeat it. So timestamps of the future are
    rejected too, and of a key with very many requests those that are older than what was forgotten.
    """

    def __init__(self, *, max_nonces: int = 100_000) -> None:
        self._max_nonces = max_nonces
        self._plain = _Nonces(max_nonces)
        self._by_key: dict[str, _Nonces] = {}

    def __len__(self) -> int:
        return len(self._plain.used) + sum(len(each.used) for each in self._by_key.values())

    def check_age(self, signature: Signature, now_s: float) -> None:
        """Raises NotAuthenticated if the timestamp is more than 300 s old, or with HMAC-SHA1, in the future."""
        if signature.timestamp_s is None:
            return
        age_s = now_s - signature.timestamp_s
        if age_s > WINDOW_S or (_is_hmac(signature) and age_s < -WINDOW_S):
            raise rejected(
                f"Expired timestamp: given {signature.timestamp_s} and now {int(now_s)} "
                f"has a greater difference than threshold {WINDOW_S}"
            )

    def use(self, signature: Signature, now_s: float) -> None:
        """Records the nonce; call it after the key is verified. Raises NotAuthenticated if it was used before."""
        if signature.timestamp_s is None:
            return
        nonces, valid_until = self._plain, max(now_s, signature.timestamp_s) + WINDOW_S
        if _is_hmac(signature):
            nonces, valid_until = self._of_key(signature.token_key, now_s), float(signature.timestamp_s + WINDOW_S)
        nonces.drop_expired(now_s)
        if _is_hmac(signature) and valid_until <= nonces.forgotten_until:
            raise rejected(f"Too many requests: no nonce of {signature.timestamp_s} is remembered any more")
        used = hashlib.sha256(f"{signature.token_key} {signature.nonce}".encode("utf-8", "replace")).digest()
        if used in nonces.used:
            raise rejected(f"Nonce already used: {signature.nonce[:80]}")
        nonces.used[used] = valid_until

    def _of_key(self, token_key: str, now_s: float) -> _Nonces:
        if len(self._by_key) > _MANY_KEYS:
            self._by_key = {key: each for key, each in self._by_key.items() if each.is_needed(now_s)}
        return self._by_key.setdefault(token_key, _Nonces(self._max_nonces))


class _Nonces:
    """Hashes of nonces and when they expire. `forgotten_until` is the latest such time of those that were dropped."""

    def __init__(self, most: int) -> None:
        self.used: OrderedDict[bytes, float] = OrderedDict()
        self.forgotten_until = 0.0
        self._most = most

    def drop_expired(self, now_s: float) -> None:
        while self.used:
            oldest = next(iter(self.used))
            if self.used[oldest] >= now_s and len(self.used) < self._most:
                return
            self.forgotten_until = max(self.forgotten_until, self.used.pop(oldest))

    def is_needed(self, now_s: float) -> bool:
        return self.forgotten_until >= now_s or any(expires >= now_s for expires in self.used.values())


def _is_hmac(signature: Signature) -> bool:
    return signature.method is SignatureMethod.HMAC_SHA1
