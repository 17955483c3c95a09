"""Brings spaces, fabrics, VLANs, subnets, ranges, domains and DNS names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from common.maas.inventory import Inventory, ReservedAddress, Subnet, Vlan
from regiond.dns.model import DnsNameChange
from regiond.maas.imports.model import PlanItem
from regiond.maas.imports.plan_groups import holder_of
from regiond.maas.imports.work import Work
from regiond.networks.model import SubnetChange, VlanChange

_LARGEST_MTU, _SMALLEST_MTU = 65535, 552


async def bring_networks(work: Work) -> None:
    """In the order of the plan: each needs those before it."""
    sources = _by_source_id(work.inventory)
    bring: Mapping[str, Callable[[Work, PlanItem, Any], Awaitable[None]]] = {
        "space": _space, "fabric": _fabric, "vlan": _vlan, "subnet": _subnet, "range": _range, "reserved": _reserved,
        "domain": _domain, "name": _name,
    }  # fmt: skip
    for item in work.to_do("networks"):
        async with work.attempt(item):
            await bring[item.source_id.partition(":")[0]](work, item, sources[item.source_id])


def _by_source_id(inventory: Inventory) -> dict[str, Any]:
    kinds = (
        ("space", inventory.spaces), ("fabric", inventory.fabrics), ("vlan", inventory.vlans),
        ("subnet", inventory.subnets), ("range", inventory.ranges), ("domain", inventory.domains),
        ("name", inventory.dns_names),
    )  # fmt: skip
    reserved = {f"reserved:{one.ip}": one for one in inventory.reserved_addresses}
    return {f"{kind}:{one.id}": one for kind, found in kinds for one in found} | reserved


async def _space(work: Work, item: PlanItem, space: Any) -> None:
    await work.rooms.networks.create_space(work.caller, name=item.new_name, description=space.description)


async def _fabric(work: Work, item: PlanItem, fabric: Any) -> None:
    await work.rooms.networks.create_fabric(
        work.caller, name=item.new_name, class_type=fabric.class_type or None, description=fabric.description
    )


async def _vlan(work: Work, item: PlanItem, vlan: Vlan) -> None:
    """A fabric has an untagged VLAN from its beginning, which is changed here."""
    networks, known = work.rooms.networks, await _vlan_id(work, vlan)
    change = VlanChange(
        name=vlan.name or None, vid=vlan.vid if known is None else None,
        space=f"name:{vlan.space}" if vlan.space else None,
        mtu=vlan.mtu if _SMALLEST_MTU <= vlan.mtu <= _LARGEST_MTU else None, description=vlan.description,
    )  # fmt: skip
    if known is None:
        await networks.create_vlan(work.caller, f"name:{vlan.fabric}", change)
    else:
        await networks.update_vlan(work.caller, known, change)


async def _vlan_id(work: Work, vlan: Vlan) -> int | None:
    fabric = await work.rooms.networks.fabric(f"name:{vlan.fabric}")
    return next((one.id for one in fabric.vlans if one.vid == vlan.vid), None)


async def _subnet(work: Work, item: PlanItem, subnet: Subnet) -> None:
    """A new one, or one that is here and goes to the VLAN that it has in MAAS."""
    vlan = next(one for one in work.inventory.vlans if one.id == subnet.vlan_id)
    cidr = str(ip_network(subnet.cidr))
    change = SubnetChange(
        name=subnet.name or None, fabric=f"name:{vlan.fabric}", vid=vlan.vid, gateway_ip=subnet.gateway_ip or None,
        dns_servers=subnet.dns_servers, description=subnet.description, managed=subnet.managed,
        allow_dns=subnet.allow_dns, allow_proxy=subnet.allow_proxy, active_discovery=subnet.active_discovery,
        rdns_mode=subnet.rdns_mode, cidr=cidr,
    )  # fmt: skip
    if item.choices:
        await work.rooms.networks.update_subnet(
            work.caller, f"cidr:{cidr}", SubnetChange(fabric=f"name:{vlan.fabric}", vid=vlan.vid)
        )
    else:
        await work.rooms.networks.create_subnet(work.caller, change)


async def _range(work: Work, item: PlanItem, found: Any) -> None:
    await work.rooms.networks.create_range(
        work.caller, subnet=f"cidr:{found.subnet}" if found.subnet else None, type=found.type,
        start_ip=found.start_ip, end_ip=found.end_ip, comment=found.comment,
    )  # fmt: skip


async def _reserved(work: Work, item: PlanItem, found: ReservedAddress) -> None:
    await work.rooms.networks.create_range(
        work.caller, subnet=f"cidr:{found.subnet}", type="reserved", start_ip=found.ip, end_ip=found.ip,
        comment=f"{holder_of(found)} (from MAAS)",
    )  # fmt: skip


async def _domain(work: Work, item: PlanItem, domain: Any) -> None:
    await work.rooms.dns.create_domain(work.caller, item.new_name, authoritative=domain.authoritative, ttl_s=domain.ttl)


async def _name(work: Work, item: PlanItem, name: Any) -> None:
    addresses = tuple(ip_address(one) for one in name.addresses)
    change = DnsNameChange(name=name.name, domain=f"name:{name.domain}", ttl_s=name.ttl, addresses=addresses)
    await work.rooms.dns.create_name(work.caller, change)
