"""Checks and claims static addresses for machines.

One address belongs to one machine even if several subnets contain it. A claim ends with the machine's row. Discovered
ranges do not prevent a claim: their DHCP server is configured with the address.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InvalidRequest, WrongState
from common.guests.guest_spec import NicAddress
from regiond.db.pool import Db
from regiond.networks import store
from regiond.networks.base_service import checked_address
from regiond.networks.ipam import holder_store
from regiond.networks.ipam import store as ipam_store
from regiond.networks.model import Address, Subnet
from regiond.requests.caller import Caller

FIELD = "interfaces"  # the request's field with the address
_SMALLEST = 2  # an IPv4 network with two addresses has no network or broadcast address


async def check_static_address(
    db: Db, ip: str, *, caller: Caller | None = None, machine_id: int | None = None
) -> Subnet:
    """The smallest subnet that contains `ip`, if a machine could claim it now. `machine_id` may already have it.

    Messages name machines and hosts that the caller may see.

    Raises InvalidRequest under `interfaces` if no subnet contains it, or it is a network's or gateway's address, in a
    reserved range, or in use by a host or another machine.
    """
    address = checked_address(FIELD, ip)
    subnets = await ipam_store.subnets_containing(db, address)
    if not subnets:
        count = await ipam_store.count_subnets(db)
        raise InvalidRequest.of({FIELD: [f"None of the {count} known subnets contains {address}."]})
    reason = await obstacle(
        db, subnets, address, caller=caller, claimed_by=machine_id, kept_by=machine_id, seen_by=machine_id
    )
    if reason is not None:
        raise InvalidRequest.of({FIELD: [reason]})
    return subnets[0]


async def claim_static_address(
    db: Db, *, subnet_id: int, address: str, machine_id: int, nic_id: int | None, on_host: bool = True
) -> None:
    """Claims the address for that NIC of a machine that is being composed, in the caller's transaction.

    None: the machine keeps the address, which its host is about to reserve, and no NIC has it yet. `on_host` false: no
    host reserves it before the next deployment or release.

    Raises WrongState, with nothing changed, if another machine has or concurrently claims it, or if the subnet was
    deleted.
    """
    wanted = checked_address(FIELD, address)
    if not await ipam_store.lock_existence(db, subnet_id):
        raise WrongState(f"The subnet of {wanted} was just deleted.", address=str(wanted))
    if not await ipam_store.claim(db, subnet_id, wanted, machine_id, nic_id, on_host=on_host):
        raise WrongState(f"{wanted} was just claimed by another machine.", address=str(wanted))


async def guest_nic_address(db: Db, subnet_id: int, ip: str) -> NicAddress:
    """Returns what a guest needs to configure the address. Raises WrongState if the subnet no longer exists."""
    address, found = checked_address(FIELD, ip), await store.subnets(db, ids=[subnet_id])
    if not found:
        raise WrongState(f"The subnet of {address} was just deleted.", address=str(address))
    (subnet,) = found
    gateway = subnet.gateway_ip
    return NicAddress(
        address=str(address),
        prefix_length=subnet.cidr.prefixlen,
        gateway=None if gateway is None else str(gateway),
        dns_servers=tuple(map(str, subnet.dns_servers)),
    )


async def obstacle(
    db: Db,
    subnets: Sequence[Subnet],
    address: Address,
    *,
    caller: Caller | None,
    claimed_by: int | None = None,
    kept_by: int | None = None,
    seen_by: int | None = None,
) -> str | None:
    """Returns why the address cannot be claimed. `subnets` contain it, the smallest first.

    The machine `claimed_by` may claim it already, `kept_by` keep it, and the guest of `seen_by` have it.
    """
    if reason := _network_or_broadcast(subnets[0], address):
        return reason
    for subnet in subnets:
        if reason := _gateway_or_dns(subnet, address):
            return reason
    for one in await ipam_store.ranges(db, address=address, with_discovered=False):
        return f"{address} is in the {one.described}."
    holder = await holder_store.claimed_by(db, address, caller=caller, except_machine_id=claimed_by)
    if holder is None:
        holder = await holder_store.host_with(db, address, caller=caller)
    if holder is not None:
        return f"{address} belongs to {holder}."
    keeper = await holder_store.kept_for(db, address, caller=caller, except_machine_id=kept_by)
    if keeper is not None:
        return f"{address} is kept for {keeper}."
    user = await holder_store.seen_with(db, address, caller=caller, except_machine_id=seen_by)
    return None if user is None else f"{address} is in use by {user}, which has it by DHCP or by itself."


def _network_or_broadcast(subnet: Subnet, address: Address) -> str | None:
    cidr = subnet.cidr
    if cidr.num_addresses > _SMALLEST:
        if address == cidr.network_address:
            return f"{address} is the network address of the subnet {cidr}."
        if address.version == 4 and address == cidr.broadcast_address:
            return f"{address} is the broadcast address of the subnet {cidr}."
    return None


def _gateway_or_dns(subnet: Subnet, address: Address) -> str | None:
    if address == subnet.gateway_ip:
        return f"{address} is the gateway of the subnet {subnet.cidr}."
    return f"{address} is a DNS server of the subnet {subnet.cidr}." if address in subnet.dns_servers else None
