"""Static addresses of machines: which are free, and the claim that makes one a machine's and nobody else's.

One address is one machine's, however many subnets hold it. A claim goes with its machine's row. Learned ranges do not
stand in the way: the DHCP server that hands them out is the one that is told of the address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.errors import InvalidRequest, WrongState
from common.values import NicAddress
from regiond.networks import address_store, store
from regiond.networks.model import Address, IpRange, Subnet
from regiond.networks.room import checked_address

if TYPE_CHECKING:
    from regiond.db.pool import Db

FIELD = "interfaces"  # where people ask for an address
_SMALLEST = 2  # an IPv4 network of so many addresses has neither a network's address nor one of broadcast


async def check(db: Db, ip: str, *, machine_id: int | None = None) -> Subnet:
    """The smallest subnet that holds `ip`, which a machine could have at this moment: that one, if it is there already.

    Raises InvalidRequest under `interfaces`: no subnet holds it, or it is the network's, the gateway's, a host's own, a
    machine's, or in a range that is kept free of machines.
    """
    address = parse(ip)
    subnets = await address_store.that_hold(db, address)
    if not subnets:
        count = await address_store.count_subnets(db)
        raise _refused(f"no subnet holds {address}; subnets known: {count}.")
    if reason := await _taken(db, subnets, address, machine_id):
        raise _refused(reason)
    return subnets[0]


def parse(ip: str) -> Address:
    """Raises InvalidRequest under `interfaces`."""
    return checked_address(FIELD, ip)


async def claim(db: Db, *, subnet_id: int, address: str, machine_id: int, nic_id: int) -> None:
    """The address is that card's, inside the caller's transaction; it is given back when the machine's row goes.

    Raises WrongState, with nothing changed, when a machine has it, when one that asked first gets it meanwhile, or when
    the subnet was deleted.
    """
    wanted = parse(address)
    if not await address_store.keep_subnet(db, subnet_id):
        raise WrongState(f"The subnet of {wanted} was deleted just now.", address=str(wanted))
    if not await address_store.claim(db, subnet_id, wanted, machine_id, nic_id):
        holder = await address_store.holder(db, wanted)
        whose = "was another machine's just now" if holder is None else f"is machine {holder}'s"
        raise WrongState(f"{wanted} {whose}.", address=str(wanted), machine=holder)


async def nic_address(db: Db, subnet_id: int, ip: str) -> NicAddress:
    """What a guest is told of an address in that subnet. Raises WrongState when there is none any more."""
    address, found = parse(ip), await store.subnets(db, ids=[subnet_id])
    if not found:
        raise WrongState(f"The subnet of {address} was deleted just now.", address=str(address))
    (subnet,) = found
    gateway = subnet.gateway_ip
    return NicAddress(
        address=str(address),
        prefix_length=subnet.cidr.prefixlen,
        gateway=None if gateway is None else str(gateway),
        dns_servers=tuple(map(str, subnet.dns_servers)),
    )


async def _taken(db: Db, subnets: Sequence[Subnet], address: Address, machine_id: int | None) -> str | None:
    """By anybody else in any of the subnets that hold it, of which the first is the smallest."""
    if reason := _never_given(subnets[0], address):
        return reason
    for subnet in subnets:
        if reason := _serving(subnet, address):
            return reason
    for one in await address_store.ranges(db, address=address):
        if not one.learned:
            return f"{address} is in the {_described(one)}."
    machine = await address_store.holder(db, address, but=machine_id)
    if machine is not None:
        return f"{address} is machine {machine}'s."
    host = await address_store.host_there(db, address)
    return None if host is None else f"{address} is the VM host {host}'s own."


def _never_given(subnet: Subnet, address: Address) -> str | None:
    cidr = subnet.cidr
    if cidr.num_addresses > _SMALLEST:
        if address == cidr.network_address:
            return f"{address} is the address of the subnet {cidr} itself."
        if address.version == 4 and address == cidr.broadcast_address:
            return f"{address} is the broadcast address of the subnet {cidr}."
    return None


def _serving(subnet: Subnet, address: Address) -> str | None:
    if address == subnet.gateway_ip:
        return f"{address} is the gateway of the subnet {subnet.cidr}."
    return f"{address} is a DNS server of the subnet {subnet.cidr}." if address in subnet.dns_servers else None


def _described(found: IpRange) -> str:
    about = f" ({found.comment})" if found.comment else ""
    return f"{found.type} range {found.start_ip}-{found.end_ip}{about}"


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: [message]})
