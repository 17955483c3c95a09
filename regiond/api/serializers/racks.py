"""Regions, racks and their join tokens, and RPC clients."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from regiond.api.declaration.serializer import (
    BOOL,
    STR,
    Serializer,
    array,
    extended,
    fields_of,
    key,
    serializer,
    uri_by_name,
)
from regiond.api.urls import uri
from regiond.racks.model import (
    ExposedByHand,
    HostReach,
    RackOfHost,
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


_RACK_REGION: Serializer[RackRegion] = serializer("RackRegion", *fields_of(RackRegion, "id hostname connected_at"))
_HOST_REACH: Serializer[HostReach] = serializer(
    "HostReach",
    *fields_of(HostReach, "host_id host reaches"),
    key("reason", STR, lambda reach: reach.error_message or ""),
    *fields_of(HostReach, "code=error_code since"),
)
RACK_OF_HOST_JSON: Serializer[RackOfHost] = serializer(
    "RackOfHost",
    *fields_of(RackOfHost, "id name connected reaches"),
    key("reason", STR, lambda rack: rack.error_message or ""),
    *fields_of(RackOfHost, "code=error_code since"),
    key("resource_uri", STR, lambda rack: uri("racks", str(rack.id))),
)
_ROTATION: Serializer[RackRotation] = serializer(
    "RackRotation",
    *fields_of(RackRotation, "operation=operation_id host state"),
    key("reason", STR, lambda rotation: rotation.error_message or ""),
)
_BY_HAND: Serializer[ExposedByHand] = serializer(
    "ExposedByHand", *fields_of(ExposedByHand, "host_id host credential sent_at remedy")
)
_RACK: Serializer[RackView] = serializer(
    "RackSummary",
    *fields_of(
        RackView,
        "id name state connected age_s release hosts_reached hosts_unreached regions joined_at connected_at seen_at",
        "certificate_expires_at removed_at stolen_at",
        regions=_RACK_REGION,
    ),
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
    *fields_of(RackView, "hosts rotations by_hand", hosts=_HOST_REACH, rotations=_ROTATION, by_hand=_BY_HAND),
)
REGION_JSON: Serializer[RegionView] = serializer(
    "Region",
    *fields_of(RegionView, "id hostname pid"),
    key("state", STR, lambda region: "running" if region.running else "silent"),
    *fields_of(
        RegionView,
        "here age_s silent_s release schema=schema_number rpc_address api_url racks operations started_at seen_at",
    ),
)
RACK_TOKEN_JSON: Serializer[IssuedToken] = serializer("RackToken", *fields_of(IssuedToken, "token expires_at"))
RPC_CLIENT_JSON: Serializer[RpcClientView] = serializer(
    "RpcClient",
    *fields_of(
        RpcClientView, "name username certificate_fingerprint certificate_expires_at issued_at api_key_name token_key"
    ),
    uri_by_name("rpc-clients"),
)
# The only response that contains the private key.
ISSUED_RPC_CLIENT_JSON: Serializer[IssuedRpcClient] = serializer(
    "IssuedRpcClient", *fields_of(IssuedRpcClient, "name certificate key authority address")
)
