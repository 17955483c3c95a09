"""What the NUMA nodes of servers have left, for placement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from common.values import NumaNode
from common.wire import from_plain
from regiond.ledger.model import pages_key
from regiond.placement.model import NodeOffer, PagesOffer

if TYPE_CHECKING:
    from regiond.db.pool import Db

_NODES = """
    select h.id as host_id, s.numa_nodes::text, s.pinned_core_ids,
           (select jsonb_object_agg(r.key, r.claimed) from counted_resource r
             where r.server_id = s.id and r.resource = 'huge_pages') as pages_claimed
      from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[])
"""


async def nodes_of_hosts(db: Db, host_ids: Iterable[int]) -> Mapping[int, tuple[NodeOffer, ...]]:
    """By host id, each of `host_ids`; in the order of the nodes. Empty where no node is known. One query."""
    wanted = list(host_ids)
    offers: dict[int, tuple[NodeOffer, ...]] = dict.fromkeys(wanted, ())
    for row in await db.fetch(_NODES, wanted):
        pinned, claimed = frozenset(row["pinned_core_ids"]), row["pages_claimed"] or {}
        offers[row["host_id"]] = tuple(_offer(node, pinned, claimed) for node in _nodes(row["numa_nodes"]))
    return offers


@lru_cache(maxsize=1000)  # servers of one kind are alike, and none changes often
def _nodes(text: str) -> tuple[NumaNode, ...]:
    nodes = [from_plain(plain, NumaNode) for plain in json.loads(text)]
    return tuple(sorted(nodes, key=lambda node: node.node_id))


def _offer(node: NumaNode, pinned: frozenset[int], pages_claimed: Mapping[str, int]) -> NodeOffer:
    return NodeOffer(
        node_id=node.node_id,
        core_ids=tuple(sorted(node.core_ids)),
        free_core_ids=tuple(sorted({*node.core_ids} - pinned)),
        siblings=node.siblings,
        pages=tuple(
            PagesOffer(
                size_kib=pages.size_kib,
                total=pages.total,
                free=max(0, pages.total - pages_claimed.get(pages_key(node.node_id, pages.size_kib), 0)),
            )
            for pages in node.huge_pages
        ),
    )
