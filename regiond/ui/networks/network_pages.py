"""The list of all networks, and the page of a subnet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from regiond.api.replies import Reply
from regiond.api.serializers.networks import STATISTICS_JSON, SubnetStatistics
from regiond.networks.model import IpRange, Subnet, UsedAddress
from regiond.networks.service import free_addresses
from regiond.ui.page import Page, Visit

_MOST_COUNTED = 200  # subnets whose addresses the list counts
_MOST_ADDRESSES = 500


async def show(visit: Visit) -> Reply:
    networks = visit.services.networks
    fabrics, subnets, spaces, ranges = await asyncio.gather(
        networks.fabrics(), networks.subnets(), networks.spaces(), networks.ranges()
    )
    counted = subnets[:_MOST_COUNTED]
    used = await networks.used_by_subnet([one.id for one in counted], caller=visit.caller)
    by_vlan: dict[int, list[Subnet]] = {}
    for subnet in subnets:
        by_vlan.setdefault(subnet.vlan.id, []).append(subnet)
    return await visit.page(
        "networks/list.html",
        title="Networks",
        section="networks",
        fabrics=fabrics,
        by_vlan=by_vlan,
        usage=_counts(counted, ranges, used),
        spaces=spaces,
        ranges=ranges,
        subnets=subnets,
    )


def _counts(
    subnets: Iterable[Subnet], ranges: Sequence[IpRange], used: Mapping[int, Sequence[UsedAddress]]
) -> Mapping[int, Mapping[str, Any]]:
    """The counts of each subnet by its id, as `op=statistics` of the API has them."""
    found = {}
    for one in subnets:
        own = [each for each in ranges if each.subnet.id == one.id]
        free = free_addresses(one, own, used[one.id])
        found[one.id] = STATISTICS_JSON.encode(SubnetStatistics(subnet=one, unreserved=free))
    return found


async def subnet(visit: Visit) -> Reply:
    networks = visit.services.networks
    found = await networks.subnet(visit.path["subnet"])
    used = await networks.used_addresses(str(found.id), caller=visit.caller)
    ranges = await networks.ranges(str(found.id))
    return await visit.page(
        "networks/subnet.html",
        title=str(found.cidr),
        section="networks",
        subnet=found,
        usage=_counts([found], ranges, {found.id: used})[found.id],
        used=used[:_MOST_ADDRESSES],
        more=max(0, len(used) - _MOST_ADDRESSES),
        ranges=ranges,
    )


PAGES = (
    Page(path="networks", handle=show),
    Page(path="networks/subnets/<subnet>", handle=subnet),
)
