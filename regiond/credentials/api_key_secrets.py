"""Seals the secrets of API keys with which the region computes signatures itself."""

from __future__ import annotations

from attrs import field, frozen

from regiond.credentials.seal import MasterKey, seal, unseal

NO_HOST = 0


@frozen
class ApiKeySecrets:
    """A sealed secret belongs to its token key, which is authenticated: the row of another key cannot hold it."""

    _key: MasterKey = field(repr=False)

    def seal(self, token_key: str, secret: str) -> bytes:
        return seal(self._key, NO_HOST, api_key_name(token_key), secret)

    def unseal(self, token_key: str, sealed: bytes) -> str:
        """Raises BadSettings as `seal.unseal`."""
        return unseal(self._key, NO_HOST, api_key_name(token_key), sealed)


def api_key_name(token_key: str) -> str:
    return f"api_key {token_key}"
