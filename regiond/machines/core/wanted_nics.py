"""Resolves the subnets of NICs that a request wants, before a host is chosen or a NIC is changed."""

from __future__ import annotations

from attrs import evolve

from common.errors import InvalidRequest
from regiond.db.pool import Db
from regiond.networks import references
from regiond.networks.ipam import service as ipam_service
from regiond.placement.network_selectors import referenced_networks
from regiond.placement.requirements import Condition, NicRequirement
from regiond.requests.caller import Caller


async def resolve_nics(
    db: Db, nics: tuple[NicRequirement, ...], *, caller: Caller | None = None, machine_id: int | None = None
) -> tuple[NicRequirement, ...]:
    """Returns the NICs with the subnet of each static address as a condition. `machine_id` may have the addresses.

    Messages name machines and hosts that the caller may see.

    Raises InvalidRequest with the field `interfaces` if a fabric, VLAN, subnet or space does not exist, or if an
    address cannot be assigned.
    """
    unknown = await references.unknown_references(db, referenced_networks(nics))
    if unknown:
        raise InvalidRequest.of({"interfaces": list(dict.fromkeys(unknown))})
    return tuple([await _with_subnet(db, nic, caller, machine_id) for nic in nics])


async def _with_subnet(db: Db, nic: NicRequirement, caller: Caller | None, machine_id: int | None) -> NicRequirement:
    if nic.ip is None:
        return nic
    subnet = await ipam_service.check_static_address(db, nic.ip, caller=caller, machine_id=machine_id)
    return evolve(nic, conditions=(*nic.conditions, Condition(key="subnet", values=(f"id:{subnet.id}",))))
