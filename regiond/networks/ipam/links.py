"""Claims addresses for NICs that a user links to a subnet: a given one, or a free one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from common.errors import InvalidRequest, NotFound, OutOfCapacity, WrongState
from regiond.db.pool import Db
from regiond.networks import interface_store
from regiond.networks.base_service import checked_address, find_subnet
from regiond.networks.ipam import link_store
from regiond.networks.ipam import store as ipam_store
from regiond.networks.ipam.service import obstacle
from regiond.networks.ipam.usage import free_addresses, taken_addresses
from regiond.networks.model import Address, IpRange, Subnet, UsedAddress
from regiond.requests.caller import Caller

FIELD = "ip_address"  # of the request
_MAX_NAMED = 3
_MAX_TRIED = 256  # of addresses in a DHCP range, whose guests may have most of them


async def claim_address(
    db: Db,
    subnet: Subnet,
    *,
    machine_id: int | None,
    caller: Caller | None = None,
    nic_id: int | None = None,
    device_nic_id: int | None = None,
    ip: str | None = None,
    is_reserved_by_host: bool = False,
) -> Address:
    """Claims `ip` for the NIC, or without one a free address of the subnet, in the caller's transaction.

    It is a NIC of the machine, or of a device on it (None: on no machine), and must not claim another address. A NIC of
    the machine can have what the machine keeps. A free address is in no range and in no smaller subnet. If there is
    none and the host reserves the address of the NIC, as for one on a network of the hypervisor, it is the highest of
    the DHCP range of the hypervisors that nobody is known to use.

    Messages name machines and hosts that the caller may see. Raises InvalidRequest under `ip_address` if `ip` is not in
    the subnet or is taken, or if it is for a device and in a DHCP range of hosts, which reserve none for devices;
    OutOfCapacity if none is free; and WrongState if DHCP servers of hosts have all that are, or if another transaction
    just claimed it or deleted the subnet.
    """
    await lock_subnet(db, subnet)
    kept_by = machine_id if device_nic_id is None else None  # a device may not take what is kept for its machine
    if ip is None:
        address = await _free(db, subnet, machine_id, kept_by, is_reserved=is_reserved_by_host)
    else:
        address = await _given(db, subnet, ip, machine_id, kept_by, caller)
        if device_nic_id is not None:
            await _check_outside_dhcp(db, subnet, address)
    if not await ipam_store.claim(db, subnet.id, address, machine_id, nic_id, device_nic_id=device_nic_id):
        raise WrongState(f"{address} was just claimed by another machine. Try again.")
    return address


async def free_address(
    db: Db, subnet: Subnet, *, besides: Iterable[Address] = (), is_reserved_by_host: bool = False
) -> Address:
    """Returns the address that `claim_address` would choose for a machine, and claims nothing. None of `besides`.

    Raises OutOfCapacity and WrongState as it does.
    """
    return await _free(db, subnet, None, None, is_reserved=is_reserved_by_host, besides=besides)


async def lock_subnet(db: Db, subnet: Subnet) -> None:
    """As in the store. Raises WrongState if another transaction just deleted the subnet."""
    if not await ipam_store.lock_subnet(db, subnet.id):
        raise WrongState(f"The subnet {subnet.cidr} was just deleted.")


async def subnet_of_field(db: Db, reference: str) -> Subnet | None:
    """The subnet with this id, CIDR or name; None for an empty text. Raises InvalidRequest under `subnet`."""
    if not reference:
        return None
    try:
        return await find_subnet(db, reference)
    except (NotFound, InvalidRequest) as error:
        raise InvalidRequest.of({"subnet": [error.message]}) from error


async def _given(
    db: Db, subnet: Subnet, ip: str, machine_id: int | None, kept_by: int | None, caller: Caller | None
) -> Address:
    address = checked_address(FIELD, ip)
    if address not in subnet.cidr:
        raise _invalid(f"{address} is not in the subnet {subnet.cidr}.")
    subnets = await ipam_store.subnets_containing(db, address)
    if subnets and subnets[0].id != subnet.id:
        raise _invalid(f"{address} is in the smaller subnet {subnets[0].cidr}: link the NIC to that one.")
    reason = await obstacle(db, subnets, address, caller=caller, kept_by=kept_by, seen_by=machine_id)
    if reason is not None:
        raise _invalid(reason)
    return address


async def _check_outside_dhcp(db: Db, subnet: Subnet, address: Address) -> None:
    found = [one for one in await ipam_store.ranges(db, address=address) if one.discovered]
    if found:
        raise _invalid(
            f"{address} is in the {_range_text(found[0])}; a host reserves none for a device. Give an address outside "
            f"of it, or none: Innkeeper then chooses one. If none is free, {_remedy_text(subnet, found[0])}"
        )


async def _free(
    db: Db,
    subnet: Subnet,
    machine_id: int | None,
    kept_by: int | None,
    *,
    is_reserved: bool,
    besides: Iterable[Address] = (),
) -> Address:
    """The lowest that nothing uses, outside of ranges; else, if the hypervisor reserves it, one of its DHCP range."""
    ranges, used = await _ranges_and_used(db, subnet)
    own = () if kept_by is None else await link_store.kept_addresses(db, kept_by)
    used = [one for one in used if one.address not in own]
    used += [UsedAddress(address=address) for address in besides]
    for span in free_addresses(subnet, ranges, used):
        return span.start
    fixed = [one for one in ranges if not one.discovered]
    if is_reserved:
        address = await _in_dhcp_range(db, subnet, fixed, used, machine_id)
        if address is not None:
            return address
    elif free_addresses(subnet, fixed, used):
        raise WrongState(_shorten_text(subnet, [one for one in ranges if one.discovered]))
    largest = sorted(taken_addresses(subnet, ranges, used), key=lambda one: -one.count)
    spans = ", ".join(f"{one.start}-{one.end}" for one in largest[:_MAX_NAMED])
    raise OutOfCapacity(
        f"The subnet {subnet.cidr} has no free address: all are in use, reserved or in a DHCP range ({spans}"
        f"{', …' if len(largest) > _MAX_NAMED else ''}). {_full_remedy_text(fixed)}"
    )


def _full_remedy_text(fixed: Sequence[IpRange]) -> str:
    """`fixed` are the ranges that users created: no machine gets an address in them, also a given one."""
    if not fixed:
        return "Give an address with mode=STATIC, use mode=DHCP, or shorten the DHCP range on the host."
    found = _largest(fixed)
    return f"Use mode=DHCP, or let an administrator delete the {found.described}: innkeeper iprange delete {found.id}"


def _shorten_text(subnet: Subnet, dhcp_ranges: Iterable[IpRange]) -> str:
    """Returns the advice where DHCP servers of hosts have all addresses, with half of a range as example."""
    found = _largest(dhcp_ranges)
    return (
        f"The subnet {subnet.cidr} has no free address outside of the {_range_text(found)}: "
        f"{_remedy_text(subnet, found)}"
    )


def _largest(ranges: Iterable[IpRange]) -> IpRange:
    return max(ranges, key=lambda one: int(one.end_ip) - int(one.start_ip))


def _range_text(found: IpRange) -> str:
    return f"DHCP range {found.start_ip}-{found.end_ip} of its VM hosts, which give these to other guests"


def _remedy_text(subnet: Subnet, found: IpRange) -> str:
    middle = found.start_ip + (int(found.end_ip) - int(found.start_ip)) // 2
    return (
        "shorten the range on the host, with LXD for example: lxc network set NETWORK "
        f"ipv{subnet.cidr.version}.dhcp.ranges={found.start_ip}-{middle} (Incus: incus network set, "
        "libvirt: virsh net-edit NETWORK), then refresh the host. Or use mode=DHCP."
    )


async def _ranges_and_used(db: Db, subnet: Subnet) -> tuple[list[IpRange], list[UsedAddress]]:
    """Returns those of the subnet and of subnets that share addresses with it; a smaller one counts as a range."""
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
    return ranges, used


async def _in_dhcp_range(
    db: Db, subnet: Subnet, ranges: Iterable[IpRange], used: Iterable[UsedAddress], machine_id: int | None
) -> Address | None:
    """The highest address outside of `ranges` that no other guest is known to have. DHCP servers often begin low."""
    spans = reversed(free_addresses(subnet, ranges, used))
    candidates = (span.end - back for span in spans for back in range(span.count))
    for candidate in islice(candidates, _MAX_TRIED):
        subnets = await ipam_store.subnets_containing(db, candidate)
        if await obstacle(db, subnets, candidate, caller=None, kept_by=machine_id, seen_by=machine_id) is None:
            return candidate
    return None


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest.of({FIELD: [reason]})
