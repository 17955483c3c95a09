"""JSON of devices, with every key that gomaasapi requires."""

from __future__ import annotations

from typing import Any

from regiond.api.declaration.serializer import (
    AS_TEXT,
    INT,
    STR,
    Serializer,
    array,
    constant,
    encoded,
    key,
    mapping,
    nullable,
    serializer,
)
from regiond.api.serializers.groups import DOMAIN_JSON, POOL_JSON, ZONE_JSON
from regiond.api.serializers.networks import INTERFACE_JSON, Interface, Link
from regiond.api.urls import uri
from regiond.machines.model import DeviceNicView, DeviceView
from regiond.networks.model import DOMAIN_NAME

_NODE_TYPE = 1  # MAAS's number of a device
_MODES = {"unconfigured": "link_up"}


def encode_device_interface(system_id: str, nic: DeviceNicView) -> Any:
    """A NIC of a device, as the interface that clients know."""
    link = Link(id=nic.link_id, mode=_MODES.get(nic.mode, nic.mode), subnet=nic.subnet, address=nic.ip_address)
    found = INTERFACE_JSON.encode(
        Interface(
            id=nic.id,
            system_id=system_id,
            name=nic.name,
            type="physical",
            enabled=True,
            tags=nic.tags,
            vlan=nic.vlan,
            links=[] if nic.subnet is None else [link],
            mac_address=nic.mac_address,
            connected=True,
        )
    )
    return found if nic.mtu is None else {**found, "effective_mtu": nic.mtu}


DEVICE_JSON: Serializer[DeviceView] = serializer(
    "Device",
    key("resource_uri", STR, lambda one: uri("devices", one.system_id)),
    key("system_id", STR, lambda one: one.system_id),
    key("hostname", STR, lambda one: one.hostname),
    key("fqdn", STR, lambda one: f"{one.hostname}.{DOMAIN_NAME}"),
    key("parent", nullable(STR), lambda one: one.parent),
    key("owner", nullable(STR), lambda one: one.owner),
    key("owner_data", mapping(STR), lambda one: one.owner_data),
    key("description", STR, lambda one: one.description),
    constant("node_type", INT, _NODE_TYPE),
    constant("node_type_name", STR, "Device"),
    constant("tag_names", array(STR), ()),
    constant("domain", DOMAIN_JSON, None),
    key("zone", ZONE_JSON, lambda one: one.zone),
    key("pool", nullable(POOL_JSON), lambda one: one.pool),
    key(
        "ip_addresses",
        array(AS_TEXT),
        lambda one: [nic.ip_address for nic in one.nics if nic.ip_address is not None],
    ),
    key(
        "interface_set",
        encoded(array(INTERFACE_JSON)),
        lambda one: [encode_device_interface(one.system_id, nic) for nic in one.nics],
    ),
    constant("address_ttl", nullable(INT), None),
)
