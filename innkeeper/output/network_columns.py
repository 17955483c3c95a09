"""The columns of lists of networks and addresses."""

from __future__ import annotations

from collections.abc import Mapping

from innkeeper.output.columns import COUNT, ESSENTIAL, Column, column
from innkeeper.output.shared_columns import DESCRIPTION

NETWORK_LISTS: Mapping[str, tuple[Column, ...]] = {
    "fabrics": (
        column("id", rank=ESSENTIAL),
        column("name", rank=ESSENTIAL),
        column("class_type", "class", rank=3),
        column("vlans", rank=2),
        DESCRIPTION,
    ),
    "vlans": (
        column("id", rank=1),
        column("fabric", rank=ESSENTIAL),
        column("vid", rank=ESSENTIAL),
        column("name", rank=1),
        column("space", rank=2),
        column("mtu", rank=4),
        column("dhcp", rank=3),
        DESCRIPTION,
    ),
    "subnets": (
        column("id", rank=ESSENTIAL),
        column("cidr", rank=ESSENTIAL),
        column("name", same_as="cidr", rank=2),
        column("vlan", rank=1),
        column("space", rank=3),
        column("gateway_ip", "gateway", rank=2),
        column("dns_servers", rank=4),
        column("managed", usual=True, rank=4),
        DESCRIPTION,
    ),
    "subnet": (  # rows of its address listings
        column("start", rank=ESSENTIAL),
        column("end", rank=ESSENTIAL),
        column("num_addresses", "addresses", unit=COUNT),
        column("ip", rank=ESSENTIAL),
        column("alloc_type_name", "type", rank=2),
        column("hostname", "machine", rank=1),
        column("host_name", "host", rank=1),
        column("purpose"),
    ),
    "spaces": (
        column("id", rank=ESSENTIAL),
        column("name", rank=ESSENTIAL),
        column("subnets", rank=1),
        column("vlans", rank=2),
        DESCRIPTION,
    ),
    "ipranges": (
        column("id", rank=ESSENTIAL),
        column("type", rank=1),
        column("start_ip", "start", rank=ESSENTIAL),
        column("end_ip", "end", rank=ESSENTIAL),
        column("subnet.cidr", "subnet", rank=1),
        column("discovered", usual=False, rank=3),
        column("comment", rank=2),
    ),
}
