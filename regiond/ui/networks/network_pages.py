"""The list of all networks, and the page of a subnet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.networks.ip_ranges import IP_RANGES
from regiond.api.serializers.networks import STATISTICS_JSON, SubnetStatistics
from regiond.networks.ipam.usage import free_addresses
from regiond.networks.model import IpRange, Subnet, UsedAddress
from regiond.requests.caller import Permission
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.rendering.page import Page, Visit, redirect
from regiond.ui.texts import text

_MOST_ADDRESSES = 500
_MOST_SPANS = 10


async def show(visit: Visit) -> Reply:
    networks = visit.services.networks
    fabrics, subnets, spaces, ranges = await asyncio.gather(
        networks.fabrics(), networks.subnets(), networks.spaces(), networks.ranges()
    )
    used = await networks.used_by_subnet([one.id for one in subnets], caller=visit.caller)
    by_vlan: dict[int, list[Subnet]] = {}
    for subnet in subnets:
        by_vlan.setdefault(subnet.vlan.id, []).append(subnet)
    return await visit.page(
        "networks/list.html",
        title=text("Networks"),
        section="networks",
        fabrics=fabrics,
        by_vlan=by_vlan,
        usage=_counts(subnets, ranges, used),
        spaces=spaces,
        ranges=ranges,
        subnets=subnets,
    )


def _counts(
    subnets: Iterable[Subnet], ranges: Sequence[IpRange], used: Mapping[int, Sequence[UsedAddress]]
) -> Mapping[int, Mapping[str, Any]]:
    """The counts of each subnet by its id, as `op=statistics` of the API has them."""
    found = {}
    by_subnet: defaultdict[int, list[IpRange]] = defaultdict(list)
    for each in ranges:
        by_subnet[each.subnet.id].append(each)
    for one in subnets:
        free = free_addresses(one, by_subnet[one.id], used[one.id])
        found[one.id] = STATISTICS_JSON.encode(SubnetStatistics(subnet=one, unreserved=free))
    return found


async def subnet(visit: Visit) -> Reply:
    return await _subnet(visit, await visit.services.networks.subnet(visit.path["subnet"]), NOT_REFUSED)


async def reserve(visit: Visit) -> Reply:
    """Reserves one address: a range of one, which is deleted to release it."""
    found, request = await visit.services.networks.subnet(visit.path["subnet"]), visit.request
    address = request.given("start_ip").strip()
    fields = {
        "type": "reserved", "subnet": str(found.id), "start_ip": address, "end_ip": address,
        "comment": request.given("comment"),
    }  # fmt: skip
    try:
        await visit.act(IP_RANGES, "POST", fields=fields)
    except InnkeeperError as error:
        return await _subnet(visit, found, at_one_field(Refusal.of(error)))
    return redirect("networks", "subnets", found.id)


def at_one_field(refusal: Refusal) -> Refusal:
    """Returns the refusal of a range with all problems of its last address at its first: the form has one for both."""
    first, last = refusal.problems.get("start_ip", []), refusal.problems.get("end_ip", [])
    others = {name: texts for name, texts in refusal.problems.items() if name not in {"start_ip", "end_ip"}}
    both = list(dict.fromkeys([*first, *last]))
    return Refusal(status=refusal.status, problems={"start_ip": both, **others} if both else others)


async def _subnet(visit: Visit, found: Subnet, refusal: Refusal) -> Reply:
    networks = visit.services.networks
    used = await networks.used_addresses(str(found.id), caller=visit.caller)
    ranges = await networks.ranges(str(found.id))
    free = free_addresses(found, ranges, used)
    return await visit.page(
        "networks/subnet.html",
        title=str(found.cidr),
        section="networks",
        status=refusal.status,
        problems=refusal.problems,
        typed={name: visit.request.given(name) for name in ("start_ip", "comment")},
        free=free[:_MOST_SPANS],
        more_free=max(0, len(free) - _MOST_SPANS),
        subnet=found,
        usage=_counts([found], ranges, {found.id: used})[found.id],
        used=used[:_MOST_ADDRESSES],
        more=max(0, len(used) - _MOST_ADDRESSES),
        ranges=ranges,
    )


PAGES = (
    Page(path="networks", handle=show),
    Page(path="networks/subnets/<subnet>", handle=subnet),
    Page(path="networks/subnets/<subnet>", method="POST", handle=reserve, permission=Permission.ADMIN),
)
