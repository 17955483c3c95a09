"""Racks and accounts."""

from __future__ import annotations

from typing import Any

from regiond.accounts.model import ApiKey, ApiKeyView, Caller
from regiond.api.encoding.operations import moment
from regiond.api.paths import uri
from regiond.racks.model import RackView, RpcClientView


def encode_rack(rack: RackView) -> dict[str, Any]:
    return {
        "id": str(rack.id),
        "name": rack.name,
        "connected": rack.connected,
        "hosts_reached": rack.hosts_reached,
        "joined_at": moment(rack.joined_at),
        "seen_at": moment(rack.seen_at),
        "certificate_expires_at": moment(rack.certificate_expires_at),
        "removed_at": moment(rack.removed_at),
        "resource_uri": uri("racks", str(rack.id)),
    }


def encode_rpc_client(client: RpcClientView) -> dict[str, Any]:
    return {
        "name": client.name,
        "username": client.username,
        "certificate_fingerprint": client.certificate_fingerprint,
        "certificate_expires_at": moment(client.certificate_expires_at),
        "issued_at": moment(client.issued_at),
        "resource_uri": uri("rpc-clients", client.name),
    }


def encode_new_rpc_client(name: str, issued: tuple[str, str, str], address: str) -> dict[str, Any]:
    """The one time that the key is shown."""
    certificate, key, authority = issued
    return {"name": name, "certificate": certificate, "key": key, "authority": authority, "address": address}


def encode_user(user: Caller) -> dict[str, Any]:
    return {
        "username": user.username,
        "email": user.email,
        "is_superuser": user.is_admin,
        "is_local": True,
        "resource_uri": uri("users", user.username),
    }


def encode_key(key: ApiKeyView) -> dict[str, Any]:
    return {"name": key.name, "consumer_key": key.consumer_key, "token_key": key.token_key}


def encode_new_key(name: str, text: str) -> dict[str, Any]:
    """The one time that the secret is shown."""
    key = ApiKey.parse(text)
    return {
        "name": name,
        "consumer_key": key.consumer_key,
        "token_key": key.token_key,
        "token_secret": key.token_secret,
    }
