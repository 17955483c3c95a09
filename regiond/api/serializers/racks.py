"""Racks, their join tokens, and RPC clients."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from regiond.api.serializer import AS_TEXT, BOOL, INT, STR, TIMESTAMP, Serializer, key, nullable, serializer
from regiond.api.urls import uri
from regiond.racks.model import RackView, RpcClientView


@frozen(kw_only=True)
class IssuedToken:
    token: str = field(repr=False)
    expires_at: datetime


@frozen(kw_only=True)
class IssuedRpcClient:
    """The credentials of a new RPC client, all PEM, and the region's RPC address."""

    name: str
    certificate: str
    key: str = field(repr=False)
    authority: str
    address: str


RACK_JSON: Serializer[RackView] = serializer(
    "Rack",
    key("id", AS_TEXT, lambda rack: rack.id),
    key("name", STR, lambda rack: rack.name),
    key("connected", BOOL, lambda rack: rack.connected),
    key("hosts_reached", INT, lambda rack: rack.hosts_reached),
    key("joined_at", TIMESTAMP, lambda rack: rack.joined_at),
    key("seen_at", nullable(TIMESTAMP), lambda rack: rack.seen_at),
    key("certificate_expires_at", TIMESTAMP, lambda rack: rack.certificate_expires_at),
    key("removed_at", nullable(TIMESTAMP), lambda rack: rack.removed_at),
    key("resource_uri", STR, lambda rack: uri("racks", str(rack.id))),
)
RACK_TOKEN_JSON: Serializer[IssuedToken] = serializer(
    "RackToken",
    key("token", STR, lambda issued: issued.token),
    key("expires_at", TIMESTAMP, lambda issued: issued.expires_at),
)
RPC_CLIENT_JSON: Serializer[RpcClientView] = serializer(
    "RpcClient",
    key("name", STR, lambda client: client.name),
    key("username", STR, lambda client: client.username),
    key("certificate_fingerprint", STR, lambda client: client.certificate_fingerprint),
    key("certificate_expires_at", TIMESTAMP, lambda client: client.certificate_expires_at),
    key("issued_at", TIMESTAMP, lambda client: client.issued_at),
    key("resource_uri", STR, lambda client: uri("rpc-clients", client.name)),
)
# The only response that contains the private key.
ISSUED_RPC_CLIENT_JSON: Serializer[IssuedRpcClient] = serializer(
    "IssuedRpcClient",
    key("name", STR, lambda issued: issued.name),
    key("certificate", STR, lambda issued: issued.certificate),
    key("key", STR, lambda issued: issued.key),
    key("authority", STR, lambda issued: issued.authority),
    key("address", STR, lambda issued: issued.address),
)
