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
    fields_of,
    key,
    nullable,
    serializer,
)
from regiond.api.serializers.groups import DOMAIN_JSON, POOL_JSON, ZONE_JSON
from regiond.api.serializers.networks import INTERFACE_JSON, Interface, Link
from regiond.api.urls import uri
from regiond.machines.values.devices import DeviceNicView, DeviceView
from regiond.networks.model import DOMAIN_NAME

_NODE_TYPE = 1  # MAAS's number of a device
_MODES = {"unconfigured": "link_up"}


def encode_device_interface(system_id: str, nic: DeviceNicView) -> Any:
    """Returns a NIC of a device, as the interface that clients expect."""
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
    *fields_of(DeviceView, "system_id hostname"),
    key("fqdn", STR, lambda one: f"{one.hostname}.{DOMAIN_NAME}"),
    *fields_of(DeviceView, "parent owner owner_data description"),
    constant("node_type", INT, _NODE_TYPE),
    constant("node_type_name", STR, "Device"),
    constant("tag_names", array(STR), ()),
    constant("domain", DOMAIN_JSON, None),
    *fields_of(DeviceView, "zone pool", zone=ZONE_JSON, pool=POOL_JSON),
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
