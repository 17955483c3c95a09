"""Reads and changes subnets."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from common.errors import InvalidRequest
from common.words.phrases import number_of
from regiond.db.pool import Db, reading, unique
from regiond.events.service import Events
from regiond.networks import change_store, interface_store, store
from regiond.networks.base_service import BaseService, check_text, checked_address, find_subnet, first_names
from regiond.networks.fabrics import chosen_fabric, chosen_space_id, chosen_vlan
from regiond.networks.ipam import store as ipam_store
from regiond.networks.model import DEFAULT_FABRIC_ID, Address, IpRange, Network, Subnet, SubnetChange, UsedAddress, Vlan
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import REQUIRED

_RDNS_MODES = (0, 1, 2)


class Subnets(BaseService):
    subnets = reading(store.subnets)
    subnet = reading(find_subnet)

    async def create_subnet(self, caller: Caller, change: SubnetChange) -> Subnet:
        """`cidr` is required. The default VLAN is the untagged one of the default fabric."""
        caller.require_admin()
        _check(change)
        cidr = _cidr(change.cidr)
        async with self.changing(caller) as db:
            vlan = await _chosen_vlan(db, change, DEFAULT_FABRIC_ID)
            with unique("cidr", f"A subnet {cidr} already exists."):
                created = await change_store.insert_subnet(db, cidr, change.name or str(cidr), vlan.id)
            subnet = await _write(db, (await store.subnets(db, ids=[created]))[0], change)
            await Events.record(db, "subnet_created", f"The subnet {_described(subnet)} was created.", caller=caller)
            return subnet

    async def update_subnet(self, caller: Caller, id_or_name: str, change: SubnetChange) -> Subnet:
        """`space` is set on the VLAN. Raises NotFound, and InvalidRequest if `cidr` excludes claimed addresses."""
        caller.require_admin()
        _check(change)
        async with self.changing(caller) as db:
            subnet = await _write(db, await find_subnet(db, id_or_name), change)
            await Events.record(db, "subnet_changed", f"The subnet {_described(subnet)} was changed.", caller=caller)
            return subnet

    async def delete_subnet(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the subnet and its IP ranges. Raises InvalidRequest if machines claim its addresses.

        Discovery creates the subnet again if it finds it.
        """
        caller.require_admin()
        async with self.changing(caller, dry_run=dry_run) as db:
            subnet = await find_subnet(db, id_or_name)
            await ipam_store.lock_subnet(db, subnet.id)
            claims = await ipam_store.claims(db, subnet.id)
            if claims:
                raise InvalidRequest(
                    f"The subnet {_described(subnet)} cannot be deleted: machines claim "
                    f"{number_of(len(claims), 'address')} ({_named(claims)}).",
                    addresses=len(claims),
                )
            ranges = await ipam_store.ranges(db, subnet_id=subnet.id)
            used = (await interface_store.used_addresses(db, [subnet.id]))[subnet.id]
            await change_store.delete_subnet(db, subnet.id)
            await Events.record(db, "subnet_deleted", f"The subnet {_described(subnet)} was deleted.", caller=caller)
        return _deletion_plan(subnet, ranges, in_use=any(one.host is not None for one in used))

    async def used_addresses(self, id_or_name: str, *, caller: Caller | None = None) -> tuple[UsedAddress, ...]:
        """The addresses that machines claim or hosts have, by address. Raises NotFound."""
        async with self._database.connection() as db:
            subnet = await find_subnet(db, id_or_name)
            return (await interface_store.used_addresses(db, [subnet.id], caller=caller))[subnet.id]

    used_by_subnet = reading(interface_store.used_addresses)


async def _write(db: Db, subnet: Subnet, change: SubnetChange) -> Subnet:
    vlan = subnet.vlan
    if (change.vlan, change.fabric, change.vid) != (None, None, None):
        vlan = await _chosen_vlan(db, change, vlan.fabric_id)
    cidr = subnet.cidr if change.cidr is None else _cidr(change.cidr)
    if cidr != subnet.cidr:
        await _check_claims_fit(db, subnet, cidr)
    gateway_ip = _gateway(subnet, change, cidr)
    given = change.dns_servers
    dns_servers = subnet.dns_servers if given is None else tuple(checked_address("dns_servers", one) for one in given)
    with unique("cidr", f"A subnet {cidr} already exists."):
        await change_store.update_subnet(
            db,
            subnet.id,
            cidr=cidr,
            name=_new_name(subnet, change, cidr),
            vlan_id=vlan.id,
            gateway_ip=gateway_ip,
            dns_servers=dns_servers,
            settings=(
                change.description, change.managed, change.allow_dns, change.allow_proxy, change.active_discovery,
                change.rdns_mode,
            ),
        )  # fmt: skip
    if cidr != subnet.cidr:
        await change_store.drop_links(db, subnet.id)
    if vlan.id != subnet.vlan.id:
        await change_store.move_interfaces(db, subnet.id, vlan.id)
    if change.space is not None:
        await change_store.set_space(db, vlan.id, await chosen_space_id(db, change.space))
    return (await store.subnets(db, ids=[subnet.id]))[0]


async def _chosen_vlan(db: Db, change: SubnetChange, fabric_id: int) -> Vlan:
    """The VLAN with id `vlan`, else VLAN `vid` (default: untagged) of `fabric` (default: `fabric_id`)."""
    if change.vlan is not None:
        return await chosen_vlan(db, change.vlan)
    if change.fabric is not None:
        fabric_id = (await chosen_fabric(db, change.fabric)).id
    vid = change.vid or 0
    vlans = await store.vlans(db, fabric_ids=[fabric_id])
    for vlan in vlans:
        if vlan.vid == vid:
            return vlan
    raise InvalidRequest.of({"vid": [f"That fabric has {number_of(len(vlans), 'VLAN')}, but no VLAN {vid}."]})


async def _check_claims_fit(db: Db, subnet: Subnet, cidr: Network) -> None:
    """Raises InvalidRequest if a claimed address or a user's range is not in `cidr`."""
    await ipam_store.lock_subnet(db, subnet.id)
    claims = await ipam_store.claims(db, subnet.id)
    lost = ipam_store.outside(claims, cidr)
    if lost:
        raise InvalidRequest.of(
            {"cidr": [f"{len(lost)} of {len(claims)} claimed addresses are not in {cidr}: {_named(lost)}."]}
        )
    for one in await ipam_store.ranges(db, subnet_id=subnet.id, with_discovered=False):
        if one.start_ip not in cidr or one.end_ip not in cidr:
            raise InvalidRequest.of({"cidr": [f"The {one.type} range {one.start_ip}-{one.end_ip} is not in {cidr}."]})


def _new_name(subnet: Subnet, change: SubnetChange, cidr: Network) -> str:
    """The default name is the CIDR, and changes with it."""
    if change.name is not None:
        return change.name or str(cidr)
    return str(cidr) if subnet.name == str(subnet.cidr) else subnet.name


def _gateway(subnet: Subnet, change: SubnetChange, cidr: Network) -> Address | None:
    gateway_ip = subnet.gateway_ip
    if change.gateway_ip is not None:
        gateway_ip = checked_address("gateway_ip", change.gateway_ip) if change.gateway_ip else None
    if gateway_ip is not None and gateway_ip not in cidr and not (gateway_ip.version == 6 and gateway_ip.is_link_local):
        raise InvalidRequest.of({"gateway_ip": [f"{gateway_ip} is not in {cidr}."]})
    return gateway_ip


def _check(change: SubnetChange) -> None:
    if change.rdns_mode is not None and change.rdns_mode not in _RDNS_MODES:
        raise InvalidRequest.of({"rdns_mode": [f"{change.rdns_mode} is not 0, 1 or 2."]})
    check_text(free_name=True, name=change.name or None, description=change.description)


def _cidr(text: str | None) -> Network:
    if not text:
        raise InvalidRequest.of({"cidr": [REQUIRED]})
    try:
        return ip_network(text.strip())
    except ValueError as error:
        raise InvalidRequest.of({"cidr": [f"{text!r} is not a network such as 10.1.0.0/24: {error}."]}) from error


def _deletion_plan(subnet: Subnet, ranges: Iterable[IpRange], *, in_use: bool) -> DeletionPlan:
    again = "VM hosts have addresses in it: their next refresh creates it again, without your settings."
    return DeletionPlan(
        name=subnet.name,
        deleted=(
            AffectedRecord(kind="subnet", id=str(subnet.id), name=_described(subnet)),
            *(one.as_record for one in ranges),
        ),
        kept=(
            AffectedRecord(
                kind="VLAN", id=str(subnet.vlan.id), name=f"{subnet.vlan.vid} of the fabric {subnet.vlan.fabric_name!r}"
            ),
        ),
        effects=(again,) if in_use else (),
    )


def _named(claims: tuple[ipam_store.Claim, ...]) -> str:
    return first_names([f"{claim.address} by {claim.hostname}" for claim in claims])


def _described(subnet: Subnet) -> str:
    return str(subnet.cidr) if subnet.name == str(subnet.cidr) else f"{subnet.name!r} ({subnet.cidr})"
