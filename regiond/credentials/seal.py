"""Seals secrets: a data key per secret, itself encrypted with the master key.

    version (1) | id of the master key (8) | nonce (12) | sealed data key (48) | nonce (12) | sealed text

AES-256-GCM both times. Host id and name are authenticated, so a sealed secret cannot be used for another host.
"""

from __future__ import annotations

import hashlib
import os

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.errors import BadSettings

KEY_BYTES = 32
_VERSION = 1
_NONCE = 12
_TAG = 16
_KEY_ID = 8
_HEAD = 1 + _KEY_ID
_WRAPPED = _NONCE + KEY_BYTES + _TAG


@frozen
class MasterKey:
    """32 random bytes that are not in the database."""

    material: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        """Identifies the key without revealing it."""
        return hashlib.sha256(b"innkeeper master key\0" + self.material).digest()[:_KEY_ID]

    @classmethod
    def random(cls) -> MasterKey:
        return cls(os.urandom(KEY_BYTES))


def seal(key: MasterKey, host_id: int, name: str, text: str) -> bytes:
    """Returns the sealed text; every call returns other bytes."""
    head = bytes([_VERSION]) + key.id
    bound = _bound(head, host_id, name)
    data_key = os.urandom(KEY_BYTES)
    outer, inner = os.urandom(_NONCE), os.urandom(_NONCE)
    wrapped = AESGCM(key.material).encrypt(outer, data_key, bound)
    return head + outer + wrapped + inner + AESGCM(data_key).encrypt(inner, text.encode(), bound)


def unseal(key: MasterKey, host_id: int, name: str, sealed: bytes) -> str:
    """Returns the text. Raises BadSettings if another master key, host or name was used, or the bytes are damaged."""
    check(key, sealed)
    damaged = BadSettings(f"The sealed secret {name!r} of host {host_id} is damaged, or belongs to another host.")
    if len(sealed) < _HEAD + _WRAPPED + _NONCE + _TAG:
        raise damaged
    head, wrapped, rest = sealed[:_HEAD], sealed[_HEAD : _HEAD + _WRAPPED], sealed[_HEAD + _WRAPPED :]
    bound = _bound(head, host_id, name)
    try:
        data_key = AESGCM(key.material).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bound)
        return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], bound).decode()
    except InvalidTag:
        raise damaged from None


def key_id_of(sealed: bytes) -> bytes:
    """Returns the `MasterKey.id` of the key that sealed the bytes."""
    return sealed[1:_HEAD]


def check(key: MasterKey, sealed: bytes) -> None:
    """Raises BadSettings if another master key or an unknown release sealed the bytes."""
    if sealed[:1] != bytes([_VERSION]):
        raise BadSettings(
            f"A sealed secret has format {sealed[:1].hex() or 'none'}; this release supports {_VERSION:02x}."
        )
    if sealed[1:_HEAD] != key.id:
        raise BadSettings(
            f"The secrets in the database are sealed with the master key {sealed[1:_HEAD].hex()}, but this region has "
            f"{key.id.hex()}. Restore the right key file.",
            setting="secrets_key",
        )


def _bound(head: bytes, host_id: int, name: str) -> bytes:
    return head + host_id.to_bytes(8, "big", signed=True) + name.encode()
