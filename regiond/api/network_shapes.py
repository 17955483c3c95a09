"""What answers about networks look like."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.schemas import ANYTHING, BOOL, INT, MOMENT, NULL, NUMBER, STR, Schema, array, maybe, record

VLAN = record(
    "Vlan",
    id=INT,
    vid=INT,
    name=STR,
    description=STR,
    mtu=INT,
    fabric=STR,
    fabric_id=INT,
    space=STR,
    dhcp_on=BOOL,
    dhcp=BOOL,
    primary_rack=NULL,
    secondary_rack=NULL,
    external_dhcp=NULL,
    relay_vlan=NULL,
    resource_uri=STR,
)
SUBNET = record(
    "Subnet",
    id=INT,
    name=STR,
    cidr=STR,
    description=STR,
    vlan=VLAN,
    space=STR,
    gateway_ip=maybe(STR),
    dns_servers=array(STR),
    managed=BOOL,
    allow_dns=BOOL,
    allow_proxy=BOOL,
    active_discovery=BOOL,
    rdns_mode=INT,
    disabled_boot_architectures=array(STR),
    resource_uri=STR,
)
FABRIC = record("Fabric", id=INT, name=STR, class_type=maybe(STR), description=STR, vlans=array(VLAN), resource_uri=STR)
SPACE = record("Space", id=INT, name=STR, description=STR, vlans=array(VLAN), subnets=array(SUBNET), resource_uri=STR)
IP_RANGE = record(
    "IPRange",
    id=INT,
    type=STR,
    start_ip=STR,
    end_ip=STR,
    comment=STR,
    subnet=SUBNET,
    user=NULL,
    learned=BOOL,
    resource_uri=STR,
)
TAKEN_SPAN = record("TakenAddresses", start=STR, end=STR, num_addresses=INT, purpose=array(STR))
FREE_SPAN = record("FreeAddresses", start=STR, end=STR, num_addresses=INT)
STATISTICS = record(
    "SubnetStatistics",
    num_available=INT,
    largest_available=INT,
    num_unavailable=INT,
    total_addresses=INT,
    usage=NUMBER,
    usage_string=STR,
    available_string=STR,
    first_address=STR,
    last_address=STR,
    ip_version=INT,
)
USED_ADDRESS = record("UsedAddress", ip=STR, alloc_type=INT, alloc_type_name=STR, system_id=maybe(STR), host=maybe(STR))
INTERFACE_LINK: Schema = {  # a key that there is no value for is left out: clients have defaults, and refuse null
    "title": "InterfaceLink",
    "type": "object",
    "properties": {"id": INT, "mode": STR, "subnet": SUBNET, "ip_address": STR},
    "required": ["id", "mode"],
    "additionalProperties": False,
}
INTERFACE_KEYS: Mapping[str, Schema] = {
    "resource_uri": STR,
    "id": INT,
    "name": STR,
    "type": STR,
    "enabled": BOOL,
    "tags": array(STR),
    "vlan": maybe(VLAN),
    "links": array(INTERFACE_LINK),
    "mac_address": maybe(STR),
    "effective_mtu": INT,
    "parents": array(STR),
    "children": array(STR),
    "system_id": STR,
    "discovered": array(ANYTHING),
    "params": STR,
    "link_connected": BOOL,
    "interface_speed": INT,
    "link_speed": INT,
    "numa_node": maybe(INT),
    "sriov_max_vf": INT,
    "vendor": maybe(STR),
    "product": maybe(STR),
    "firmware_version": maybe(STR),
}
HOST_INTERFACE = record(
    "HostInterface",
    **INTERFACE_KEYS,
    attach_type=STR,
    attachable=BOOL,
    dhcp=BOOL,
    vid=maybe(INT),
    vlan_chosen=BOOL,
    missing_since=maybe(MOMENT),
)
