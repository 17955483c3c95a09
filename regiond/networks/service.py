"""Reads and changes networks, discovers them from hosts, and claims addresses for machines."""

from __future__ import annotations

from regiond.networks.discovery.service import discover_networks
from regiond.networks.fabrics import Fabrics
from regiond.networks.interface_availability import available_interfaces
from regiond.networks.interface_store import HAS_OWN_VLAN, bind_nics
from regiond.networks.interfaces import Interfaces
from regiond.networks.ipam.link_store import (
    begin_reservation,
    end_reservation,
    keep_no_longer,
    release_addresses,
    release_device_addresses,
    replace_address,
    reservations_differ,
    take_back_address,
)
from regiond.networks.ipam.links import claim_address, free_address, lock_subnet, subnet_of_field
from regiond.networks.ipam.ranges import Ranges
from regiond.networks.ipam.seen_service import record_addresses, record_addresses_of, seen_addresses
from regiond.networks.ipam.seen_store import forget_addresses
from regiond.networks.ipam.service import check_static_address, claim_static_address, guest_nic_address
from regiond.networks.ipam.store import lock_subnets
from regiond.networks.ipam.usage import AddressSpan, free_addresses, taken_addresses, usable_addresses
from regiond.networks.references import selected_ids, unknown_references
from regiond.networks.spaces import Spaces
from regiond.networks.store import subnets, vlans
from regiond.networks.subnets import Subnets

__all__ = [
    "HAS_OWN_VLAN",
    "AddressSpan",
    "Networks",
    "available_interfaces",
    "begin_reservation",
    "bind_nics",
    "check_static_address",
    "claim_address",
    "claim_static_address",
    "discover_networks",
    "end_reservation",
    "forget_addresses",
    "free_address",
    "free_addresses",
    "guest_nic_address",
    "keep_no_longer",
    "lock_subnet",
    "lock_subnets",
    "record_addresses",
    "record_addresses_of",
    "release_addresses",
    "release_device_addresses",
    "replace_address",
    "reservations_differ",
    "seen_addresses",
    "selected_ids",
    "subnet_of_field",
    "subnets",
    "take_back_address",
    "taken_addresses",
    "unknown_references",
    "usable_addresses",
    "vlans",
]


class Networks(Fabrics, Subnets, Spaces, Ranges, Interfaces):
    """Fabrics, VLANs, subnets, spaces, IP ranges and interfaces, each from its own module.

    Objects are named by id or name. Unknown ones raise NotFound, bad fields InvalidRequest, and changes by a caller
    that is not an administrator NotAllowed.
    """
