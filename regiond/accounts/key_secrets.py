"""Encrypts the secrets of API keys with which the region computes signatures itself."""

from __future__ import annotations

from typing import Protocol

from common.errors import Unsupported


class KeySecrets(Protocol):
    def seal(self, token_key: str, secret: str) -> bytes: ...
    def unseal(self, token_key: str, sealed: bytes) -> str: ...


class NoKeySecrets:
    """For commands, which do not open the master key: such keys can neither be made nor used."""

    def seal(self, token_key: str, secret: str) -> bytes:
        raise Unsupported("API keys for HMAC-SHA1 are made by a running region: create one through its API.")

    def unseal(self, token_key: str, sealed: bytes) -> str:
        raise Unsupported("API keys for HMAC-SHA1 are verified by a running region.")
