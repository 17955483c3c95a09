"""The list of all networks, and the page of a subnet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.subnets import SUBNET
from regiond.networks.model import Subnet
from regiond.ui.page import Page, Visit

_MOST_COUNTED = 200  # subnets whose addresses the list counts
_COUNTED_AT_ONCE = 8
_MOST_ADDRESSES = 500


async def show(visit: Visit) -> Reply:
    networks = visit.services.networks
    fabrics, subnets, spaces, ranges = await asyncio.gather(
        networks.fabrics(), networks.subnets(), networks.spaces(), networks.ranges()
    )
    by_vlan: dict[int, list[Subnet]] = {}
    for subnet in subnets:
        by_vlan.setdefault(subnet.vlan.id, []).append(subnet)
    return await visit.page(
        "networks/list.html",
        title="Networks",
        section="networks",
        fabrics=fabrics,
        by_vlan=by_vlan,
        usage=await _usage(visit, subnets[:_MOST_COUNTED]),
        spaces=spaces,
        ranges=ranges,
        subnets=subnets,
    )


async def _usage(visit: Visit, subnets: Iterable[Subnet]) -> Mapping[int, Mapping[str, Any]]:
    """The counts of each subnet by its id; one that was deleted meanwhile has none."""
    free = asyncio.Semaphore(_COUNTED_AT_ONCE)

    async def counts(subnet: Subnet) -> tuple[int, Mapping[str, Any]] | None:
        async with free:
            try:
                return subnet.id, await visit.act(SUBNET, "GET", "statistics", path={"id": str(subnet.id)})
            except InnkeeperError:
                return None

    found = await asyncio.gather(*map(counts, subnets))
    return dict(one for one in found if one is not None)


async def subnet(visit: Visit) -> Reply:
    networks = visit.services.networks
    found = await networks.subnet(visit.path["subnet"])
    used = await networks.used_addresses(str(found.id), caller=visit.caller)
    return await visit.page(
        "networks/subnet.html",
        title=str(found.cidr),
        section="networks",
        subnet=found,
        usage=(await _usage(visit, [found])).get(found.id),
        used=used[:_MOST_ADDRESSES],
        more=max(0, len(used) - _MOST_ADDRESSES),
        ranges=await networks.ranges(str(found.id)),
    )


PAGES = (
    Page(path="networks", handle=show),
    Page(path="networks/subnets/<subnet>", handle=subnet),
)
