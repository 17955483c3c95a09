"""Reads and changes IP ranges, whose addresses no machine can claim."""

from __future__ import annotations

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Db, reading
from regiond.events.service import Events
from regiond.networks import store
from regiond.networks.base_service import BaseService, check_text, checked_address, find_subnet, first_names
from regiond.networks.ipam import store as ipam_store
from regiond.networks.model import Address, IpRange, RangeChange, Subnet
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan
from regiond.requests.validation_messages import no_object

TYPES = ("reserved", "dynamic")


async def _find(db: Db, range_id: int) -> IpRange:
    """Raises NotFound."""
    found = await ipam_store.ranges(db, range_id=range_id)
    if not found:
        raise NotFound(f"There is no IP range with id {range_id}.")
    return found[0]


class Ranges(BaseService):
    async def ranges(self, subnet: str | None = None, *, with_discovered: bool = True) -> tuple[IpRange, ...]:
        """All, or those of one subnet; by subnet and start. Raises NotFound for the subnet."""
        async with self._database.connection() as db:
            subnet_id = None if subnet is None else (await find_subnet(db, subnet)).id
            return await ipam_store.ranges(db, subnet_id=subnet_id, with_discovered=with_discovered)

    range = reading(_find)

    async def create_range(
        self, caller: Caller, *, subnet: str | None, type: str, start_ip: str, end_ip: str, comment: str = ""
    ) -> IpRange:
        """Without `subnet`, in the smallest subnet that contains `start_ip`. It may overlap discovered ranges.

        Raises InvalidRequest by field.
        """
        caller.require_admin()
        check_text(comment=comment)
        if type not in TYPES:
            raise InvalidRequest.of({"type": [f"{type!r} is not one of {', '.join(TYPES)}."]})
        start, end = checked_address("start_ip", start_ip), checked_address("end_ip", end_ip)
        async with self.changing(caller) as db:
            chosen = await _chosen_subnet(db, subnet, start)
            await _check(db, chosen, type, start, end)
            created = await ipam_store.insert_range(db, chosen.id, type, start, end, comment)
            message = f"The {type} range {start}-{end} of {chosen.cidr} was created."
            await Events.record(db, "ip_range_created", message, caller=caller)
            return await _find(db, created)

    async def update_range(self, caller: Caller, range_id: int, change: RangeChange) -> IpRange:
        """Changes a range, of a discovered one only the comment. Raises NotFound, InvalidRequest."""
        caller.require_admin()
        check_text(comment=change.comment)
        async with self.changing(caller) as db:
            was = await _find(db, range_id)
            start = was.start_ip if change.start_ip is None else checked_address("start_ip", change.start_ip)
            end = was.end_ip if change.end_ip is None else checked_address("end_ip", change.end_ip)
            if (start, end) != (was.start_ip, was.end_ip):
                if was.discovered:
                    raise InvalidRequest(f"{_discovered(was)}. Change the DHCP server there.")
                await _check(db, was.subnet, was.type, start, end, changed=was)
            comment = was.comment if change.comment is None else change.comment
            await ipam_store.update_range(db, was.id, start, end, comment)
            message = f"The {was.type} range {was.start_ip}-{was.end_ip} of {was.subnet.cidr} was changed."
            await Events.record(db, "ip_range_changed", message, caller=caller)
            return await _find(db, was.id)

    async def delete_range(self, caller: Caller, range_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound, and InvalidRequest for a discovered range that hosts still report."""
        caller.require_admin()
        async with self.changing(caller, dry_run=dry_run) as db:
            was = await _find(db, range_id)
            hosts = await ipam_store.hosts_with_range(db, was) if was.discovered else ()
            if hosts:
                raise InvalidRequest(
                    f"{_discovered(was)}. Hosts that report it ({len(hosts)}): {first_names(hosts)}.", hosts=len(hosts)
                )
            await ipam_store.delete_range(db, was.id)
            message = f"The {was.type} range {was.start_ip}-{was.end_ip} of {was.subnet.cidr} was deleted."
            await Events.record(db, "ip_range_deleted", message, caller=caller)
        return DeletionPlan(
            name=f"{was.start_ip}-{was.end_ip}",
            deleted=(was.as_record,),
            effects=("Innkeeper can assign its addresses to machines.",),
        )


async def _chosen_subnet(db: Db, id_or_name: str | None, start: Address) -> Subnet:
    if id_or_name is None:
        found = await ipam_store.subnets_containing(db, start)
        if not found:
            subnets = await ipam_store.count_subnets(db)
            raise InvalidRequest.of({"start_ip": [f"None of the {subnets} known subnets contains {start}."]})
        return found[0]
    try:
        return await find_subnet(db, id_or_name)
    except NotFound:
        known = [subnet.name for subnet in await store.subnets(db)]
        raise InvalidRequest.of({"subnet": [no_object("subnet", id_or_name, known)]}) from None


async def _check(
    db: Db, subnet: Subnet, type: str, start: Address, end: Address, *, changed: IpRange | None = None
) -> None:
    for field, address in (("start_ip", start), ("end_ip", end)):
        if address not in subnet.cidr:
            raise InvalidRequest.of({field: [f"{address} is not in {subnet.cidr}."]})
    if int(end) < int(start):
        raise InvalidRequest.of({"end_ip": [f"{end} is before {start}."]})
    ranges = await ipam_store.ranges(db, subnet_id=subnet.id)
    for other in ranges:
        overlaps = int(other.start_ip) <= int(end) and int(start) <= int(other.end_ip)
        if overlaps and not other.discovered and (changed is None or other.id != changed.id):
            raise InvalidRequest.of({"start_ip": [f"Overlaps the {other.described}."]})
    if type != "dynamic":
        return
    for claim in await ipam_store.claims(db, subnet.id):
        # The DHCP server of a discovered range has a reservation for the machine: it gives the address to no other.
        is_reserved = any(one.discovered and one.contains(claim.address) for one in ranges)
        if int(start) <= int(claim.address) <= int(end) and not is_reserved:
            raise InvalidRequest.of({"start_ip": [f"{claim.address} belongs to machine {claim.hostname}."]})


def _discovered(found: IpRange) -> str:
    return f"The range {found.start_ip}-{found.end_ip} of {found.subnet.cidr} was discovered on hosts"
