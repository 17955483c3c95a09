"""Ranges of addresses that no machine is given: read by everybody, changed by admins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import InvalidRequest, NotFound
from regiond.accounts.model import Caller
from regiond.events.service import Events
from regiond.field_words import no_choice
from regiond.networks import address_store
from regiond.networks.model import Address, IpRange, RangeChange, Subnet
from regiond.networks.room import Room, check_text, checked_address, find_subnet

if TYPE_CHECKING:
    from regiond.db.pool import Db

TYPES = ("reserved", "dynamic")


class Ranges(Room):
    async def ranges(self, subnet: str | None = None) -> tuple[IpRange, ...]:
        """All, or those of one subnet; by subnet and start. Raises NotFound for the subnet."""
        async with self._database.connection() as db:
            subnet_id = None if subnet is None else (await find_subnet(db, subnet)).id
            return await address_store.ranges(db, subnet_id=subnet_id)

    async def range(self, range_id: int) -> IpRange:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await _find(db, range_id)

    async def create_range(
        self, caller: Caller, *, subnet: str | None, type: str, start_ip: str, end_ip: str, comment: str = ""
    ) -> IpRange:
        """Without `subnet` it is that which holds `start_ip`, the smallest if several do."""
        caller.require_admin()
        check_text(comment=comment)
        if type not in TYPES:
            raise InvalidRequest.of({"type": [f"{type!r} is not one of {', '.join(TYPES)}."]})
        start, end = checked_address("start_ip", start_ip), checked_address("end_ip", end_ip)
        async with self.changing(caller) as db:
            of = await _chosen_subnet(db, subnet, start)
            await _check(db, of, type, start, end)
            made = await address_store.insert_range(db, of.id, type, start, end, comment)
            message = f"The {type} range {start}-{end} of {of.cidr} was created."
            await Events.record(db, "ip_range_created", message, caller=caller)
            return await _find(db, made)

    async def update_range(self, caller: Caller, range_id: int, change: RangeChange) -> IpRange:
        """Of a learned one only the comment. Raises NotFound."""
        caller.require_admin()
        check_text(comment=change.comment)
        async with self.changing(caller) as db:
            was = await _find(db, range_id)
            start = was.start_ip if change.start_ip is None else checked_address("start_ip", change.start_ip)
            end = was.end_ip if change.end_ip is None else checked_address("end_ip", change.end_ip)
            if (start, end) != (was.start_ip, was.end_ip):
                if was.learned:
                    raise InvalidRequest(f"{_learned(was)}: change the DHCP server there.")
                await _check(db, was.subnet, was.type, start, end, changed=was)
            comment = was.comment if change.comment is None else change.comment
            await address_store.update_range(db, was.id, start, end, comment)
            message = f"The {was.type} range {was.start_ip}-{was.end_ip} of {was.subnet.cidr} was changed."
            await Events.record(db, "ip_range_changed", message, caller=caller)
            return await _find(db, was.id)

    async def delete_range(self, caller: Caller, range_id: int) -> None:
        """A learned one only when no host has it any more: InvalidRequest names those. Raises NotFound."""
        caller.require_admin()
        async with self.changing(caller) as db:
            was = await _find(db, range_id)
            hosts = await address_store.hosts_with_range(db, was) if was.learned else ()
            if hosts:
                named = ", ".join(hosts[:5]) + (", …" if len(hosts) > 5 else "")
                raise InvalidRequest(f"{_learned(was)}; {len(hosts)} hosts have it: {named}.", hosts=len(hosts))
            await address_store.delete_range(db, was.id)
            message = f"The {was.type} range {was.start_ip}-{was.end_ip} of {was.subnet.cidr} was deleted."
            await Events.record(db, "ip_range_deleted", message, caller=caller)


async def _find(db: Db, range_id: int) -> IpRange:
    found = await address_store.ranges(db, range_id=range_id)
    if not found:
        raise NotFound(f"There is no IP range with id {range_id}.")
    return found[0]


async def _chosen_subnet(db: Db, id_or_name: str | None, start: Address) -> Subnet:
    if id_or_name is None:
        found = await address_store.that_hold(db, start)
        if not found:
            subnets = await address_store.count_subnets(db)
            raise InvalidRequest.of({"start_ip": [f"No subnet holds {start}; subnets known: {subnets}."]})
        return found[0]
    try:
        return await find_subnet(db, id_or_name)
    except NotFound:
        raise InvalidRequest.of({"subnet": [no_choice()]}) from None


async def _check(
    db: Db, subnet: Subnet, type: str, start: Address, end: Address, *, changed: IpRange | None = None
) -> None:
    for field, address in (("start_ip", start), ("end_ip", end)):
        if address not in subnet.cidr:
            raise InvalidRequest.of({field: [f"{address} is not in {subnet.cidr}."]})
    if int(end) < int(start):
        raise InvalidRequest.of({"end_ip": [f"{end} is before {start}."]})
    for other in await address_store.ranges(db, subnet_id=subnet.id):
        overlaps = int(other.start_ip) <= int(end) and int(start) <= int(other.end_ip)
        if overlaps and not other.learned and (changed is None or other.id != changed.id):
            raise InvalidRequest.of(
                {"start_ip": [f"It overlaps the {other.type} range {other.start_ip}-{other.end_ip}{_about(other)}."]}
            )
    if type != "dynamic":
        return
    for claim in await address_store.claims(db, subnet.id):
        if int(start) <= int(claim.address) <= int(end):
            raise InvalidRequest.of({"start_ip": [f"{claim.address} is machine {claim.hostname}'s."]})


def _about(found: IpRange) -> str:
    return f" ({found.comment})" if found.comment else ""


def _learned(found: IpRange) -> str:
    return f"The range {found.start_ip}-{found.end_ip} of {found.subnet.cidr} was learned from hosts"
