"""Answers of the service of networks."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from common.errors import NotFound
from regiond.networks.model import UsedAddress
from tests.unit.answers.shared import changed, named
from tests.unit.support.network_samples import (
    DNS_NAME,
    DOMAIN,
    FABRIC,
    INTERFACES,
    IP_RANGE,
    IPV6_SUBNET,
    SPACE,
    SUBNET,
    UNTAGGED,
    VLAN,
)

ANSWERS: Mapping[str, Any] = {
    "networks.fabrics": (FABRIC,),
    "networks.fabric": named({"0": FABRIC, "fabric-0": FABRIC}),
    "networks.vlan": lambda vlan_id: {5001: UNTAGGED, 5002: VLAN}.get(vlan_id) or NotFound("There is no VLAN."),
    "networks.subnets": (SUBNET, IPV6_SUBNET),
    "networks.subnet": named({"3": SUBNET, "dmz": SUBNET, "10.1.0.0/24": SUBNET}),
    "networks.used_addresses": (
        UsedAddress(address=ip_address("10.1.0.1"), host="k3xq7a", host_name="hv-01"),
        UsedAddress(address=ip_address("10.1.0.7"), machine="wdpx3n", hostname="web"),
    ),
    "networks.spaces": (SPACE,),
    "networks.space": named({"2": SPACE, "front": SPACE}),
    "networks.ranges": (IP_RANGE,),
    "networks.range": lambda range_id: IP_RANGE if range_id == 6 else NotFound("There is no range."),
    "dns.domains": (DOMAIN,),
    "dns.domain": named({"0": DOMAIN, "maas": DOMAIN}),
    "dns.set_default_domain": DOMAIN,
    "dns.zone_file": "$ORIGIN maas.\n",
    "dns.names": (DNS_NAME,),
    "dns.name": lambda name_id: DNS_NAME if name_id == 5 else NotFound("There is no DNS resource."),
    **changed("dns", domain=DOMAIN, name=DNS_NAME),
    **changed("networks", fabric=FABRIC, vlan=VLAN, subnet=SUBNET, space=SPACE, range=IP_RANGE),
    "networks.interfaces": named({"k3xq7a": INTERFACES, "wdpx3n": INTERFACES}),  # the second for ids of both kinds
    "networks.update_interface": INTERFACES[0],
}
