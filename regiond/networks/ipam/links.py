"""Claims addresses for NICs that a user links to a subnet: a given one, or a free one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from common.errors import InvalidRequest, NotFound, OutOfCapacity, WrongState
from regiond.networks import interface_store, store
from regiond.networks.base_service import checked_address, find_subnet
from regiond.networks.ipam import link_store
from regiond.networks.ipam import store as ipam_store
from regiond.networks.ipam.service import obstacle
from regiond.networks.ipam.usage import free_addresses, taken_addresses
from regiond.networks.model import Address, IpRange, Subnet, UsedAddress

if TYPE_CHECKING:
    from regiond.db.pool import Db

FIELD = "ip_address"  # of the request
_MAX_NAMED = 3
_MAX_TRIED = 256  # of addresses in a DHCP range, whose guests may have most of them


async def claim_address(
    db: Db,
    subnet: Subnet,
    *,
    machine_id: int,
    nic_id: int | None = None,
    device_nic_id: int | None = None,
    ip: str | None = None,
    is_reserved_by_host: bool = False,
) -> Address:
    """Claims `ip` for the NIC, or without one a free address of the subnet, in the caller's transaction.

    It is a NIC of the machine, or of a device on it, and must not claim another address. A free one is in no range and
    in no smaller subnet. If there is none and the host reserves the address of the NIC, as for one on a network of the
    hypervisor, it is the highest of the hypervisors' DHCP range that nobody is known to use.

    Raises InvalidRequest under `ip_address` if `ip` is not in the subnet or is taken, OutOfCapacity if none is free,
    and WrongState if another transaction just claimed it or deleted the subnet.
    """
    await ipam_store.lock_subnet(db, subnet.id)
    if not await store.subnets(db, ids=[subnet.id]):
        raise WrongState(f"The subnet {subnet.cidr} was just deleted.")
    keeper_id = machine_id if device_nic_id is None else None  # a device may not take what is kept for its machine
    if ip is None:
        address = await _free(db, subnet, machine_id, keeper_id, is_reserved=is_reserved_by_host)
    else:
        address = await _given(db, subnet, ip, machine_id, keeper_id)
    if not await ipam_store.claim(db, subnet.id, address, machine_id, nic_id, device_nic_id=device_nic_id):
        holder = await ipam_store.machine_with(db, address)
        raise WrongState(f"{address} was just claimed by {holder or 'another machine'}. Try again.")
    return address


async def release_addresses(db: Db, nic_ids: Iterable[int]) -> None:
    """Ends the claims of these NICs. Idempotent."""
    await link_store.delete_addresses(db, list(nic_ids))


async def release_device_addresses(db: Db, device_nic_ids: Iterable[int]) -> None:
    """Ends the claims of these NICs of devices. Idempotent."""
    await link_store.delete_device_addresses(db, list(device_nic_ids))


async def subnet_of_field(db: Db, reference: str) -> Subnet | None:
    """The subnet with this id, CIDR or name; None for an empty text. Raises InvalidRequest under `subnet`."""
    if not reference:
        return None
    try:
        return await find_subnet(db, reference)
    except (NotFound, InvalidRequest) as error:
        raise InvalidRequest.of({"subnet": [error.message]}) from error


async def _given(db: Db, subnet: Subnet, ip: str, machine_id: int, keeper_id: int | None) -> Address:
    address = checked_address(FIELD, ip)
    if address not in subnet.cidr:
        raise _invalid(f"{address} is not in the subnet {subnet.cidr}.")
    subnets = await ipam_store.subnets_containing(db, address)
    if subnets and subnets[0].id != subnet.id:
        raise _invalid(f"{address} is in the smaller subnet {subnets[0].cidr}: link the NIC to that one.")
    reason = await obstacle(db, subnets, address, seen_by=machine_id)
    if reason is None:
        kept_for = await link_store.kept_for(db, address, except_machine_id=keeper_id)
        reason = kept_for and f"{address} is kept for machine {kept_for}, which has it again when it is released."
    if reason is not None:
        raise _invalid(reason)
    return address


async def _free(db: Db, subnet: Subnet, machine_id: int, keeper_id: int | None, *, is_reserved: bool) -> Address:
    """The lowest that nothing uses, outside of ranges; else, if the hypervisor reserves it, one of its DHCP range."""
    ranges, used = await _ranges_and_used(db, subnet, keeper_id)
    for span in free_addresses(subnet, ranges, used):
        return span.start
    if is_reserved:
        address = await _in_dhcp_range(db, subnet, [one for one in ranges if not one.discovered], used, machine_id)
        if address is not None:
            return address
    largest = sorted(taken_addresses(subnet, ranges, used), key=lambda one: -one.count)
    spans = ", ".join(f"{one.start}-{one.end}" for one in largest[:_MAX_NAMED])
    raise OutOfCapacity(
        f"The subnet {subnet.cidr} has no free address: all are in use, reserved or in a DHCP range ({spans}"
        f"{', …' if len(largest) > _MAX_NAMED else ''}). Give an address with mode=STATIC, use mode=DHCP, or shorten "
        "the DHCP range on the host."
    )


async def _ranges_and_used(db: Db, subnet: Subnet, keeper_id: int | None) -> tuple[list[IpRange], list[UsedAddress]]:
    """Of the subnet and those that share addresses with it; a smaller one counts as a range."""
    overlapping = await link_store.overlapping(db, subnet)
    ranges: list[IpRange] = []
    used: list[UsedAddress] = []
    for one in (subnet, *overlapping):
        ranges += await ipam_store.ranges(db, subnet_id=one.id)
        reserved = (*one.dns_servers, *(() if one.gateway_ip is None else (one.gateway_ip,)))
        used += [UsedAddress(address=address) for address in reserved if address.version == subnet.cidr.version]
        if one.cidr.prefixlen > subnet.cidr.prefixlen:
            ranges.append(IpRange(id=0, subnet=one, type="reserved", start_ip=one.cidr[0], end_ip=one.cidr[-1]))
    by_subnet = await interface_store.used_addresses(db, [one.id for one in (subnet, *overlapping)])
    used += [one for found in by_subnet.values() for one in found]
    used += [UsedAddress(address=one) for one in await link_store.kept_addresses(db, except_machine_id=keeper_id)]
    return ranges, used


async def _in_dhcp_range(
    db: Db, subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress], machine_id: int
) -> Address | None:
    """The highest address outside of `ranges` that no guest is known to have. DHCP servers often begin low."""
    spans = reversed(free_addresses(subnet, ranges, used))
    candidates = (span.end - back for span in spans for back in range(span.count))
    for candidate in islice(candidates, _MAX_TRIED):
        subnets = await ipam_store.subnets_containing(db, candidate)
        if await obstacle(db, subnets, candidate, seen_by=machine_id) is None:
            return candidate
    return None


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: [reason]})
