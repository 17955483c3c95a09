"""Regions, racks and their join tokens, and RPC clients."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    extended,
    key,
    nullable,
    serializer,
)
from regiond.api.urls import uri
from regiond.racks.model import (
    ExposedByHand,
    HostReach,
    RackRegion,
    RackRotation,
    RackView,
    RegionView,
    RpcClientView,
)


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


_RACK_REGION: Serializer[RackRegion] = serializer(
    "RackRegion",
    key("id", AS_TEXT, lambda region: region.id),
    key("hostname", STR, lambda region: region.hostname),
    key("connected_at", TIMESTAMP, lambda region: region.connected_at),
)
_HOST_REACH: Serializer[HostReach] = serializer(
    "HostReach",
    key("host_id", INT, lambda reach: reach.host_id),
    key("host", STR, lambda reach: reach.host),
    key("reaches", nullable(BOOL), lambda reach: reach.reaches),
    key("reason", STR, lambda reach: reach.error_message or ""),
    key("code", nullable(STR), lambda reach: reach.error_code),
    key("since", nullable(TIMESTAMP), lambda reach: reach.since),
)
_ROTATION: Serializer[RackRotation] = serializer(
    "RackRotation",
    key("operation", INT, lambda rotation: rotation.operation_id),
    key("host", STR, lambda rotation: rotation.host),
    key("state", STR, lambda rotation: rotation.state),
    key("reason", STR, lambda rotation: rotation.error_message or ""),
)
_BY_HAND: Serializer[ExposedByHand] = serializer(
    "ExposedByHand",
    key("host_id", INT, lambda exposed: exposed.host_id),
    key("host", STR, lambda exposed: exposed.host),
    key("credential", STR, lambda exposed: exposed.credential),
    key("sent_at", TIMESTAMP, lambda exposed: exposed.sent_at),
    key("remedy", STR, lambda exposed: exposed.remedy),
)
_RACK: Serializer[RackView] = serializer(
    "RackSummary",
    key("id", AS_TEXT, lambda rack: rack.id),
    key("name", STR, lambda rack: rack.name),
    key("state", STR, lambda rack: rack.state),
    key("connected", BOOL, lambda rack: rack.connected),
    key("age_s", INT, lambda rack: rack.age_s),
    key("release", nullable(STR), lambda rack: rack.release),
    key("hosts_reached", INT, lambda rack: rack.hosts_reached),
    key("hosts_unreached", INT, lambda rack: rack.hosts_unreached),
    key("regions", array(_RACK_REGION), lambda rack: rack.regions),
    key("joined_at", TIMESTAMP, lambda rack: rack.joined_at),
    key("connected_at", nullable(TIMESTAMP), lambda rack: rack.connected_at),
    key("seen_at", nullable(TIMESTAMP), lambda rack: rack.seen_at),
    key("certificate_expires_at", TIMESTAMP, lambda rack: rack.certificate_expires_at),
    key("removed_at", nullable(TIMESTAMP), lambda rack: rack.removed_at),
    key("stolen_at", nullable(TIMESTAMP), lambda rack: rack.stolen_at),
    key("all_zones", BOOL, lambda rack: rack.zones is None),
    key("zones", array(STR), lambda rack: rack.zones or ()),
    key("resource_uri", STR, lambda rack: uri("racks", str(rack.id))),
)
RACK_JSON: Serializer[RackView] = extended(
    "Rack", _RACK, lambda rack: rack, key("unreached", array(_HOST_REACH), lambda rack: rack.hosts)
)
RACK_WITH_REACH_JSON: Serializer[RackView] = extended(
    "RackWithReach",
    _RACK,
    lambda rack: rack,
    key("hosts", array(_HOST_REACH), lambda rack: rack.hosts),
    key("rotations", array(_ROTATION), lambda rack: rack.rotations),
    key("by_hand", array(_BY_HAND), lambda rack: rack.by_hand),
)
REGION_JSON: Serializer[RegionView] = serializer(
    "Region",
    key("id", AS_TEXT, lambda region: region.id),
    key("hostname", STR, lambda region: region.hostname),
    key("pid", INT, lambda region: region.pid),
    key("state", STR, lambda region: "running" if region.running else "silent"),
    key("here", BOOL, lambda region: region.here),
    key("age_s", INT, lambda region: region.age_s),
    key("silent_s", INT, lambda region: region.silent_s),
    key("release", nullable(STR), lambda region: region.release),
    key("schema", nullable(INT), lambda region: region.schema_number),
    key("rpc_address", nullable(STR), lambda region: region.rpc_address),
    key("api_url", nullable(STR), lambda region: region.api_url),
    key("racks", array(STR), lambda region: region.racks),
    key("operations", array(INT), lambda region: region.operations),
    key("started_at", TIMESTAMP, lambda region: region.started_at),
    key("seen_at", TIMESTAMP, lambda region: region.seen_at),
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
    key("api_key_name", nullable(STR), lambda client: client.api_key_name),
    key("token_key", nullable(STR), lambda client: client.token_key),
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
