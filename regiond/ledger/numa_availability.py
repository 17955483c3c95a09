"""Reads which cores and huge pages the NUMA nodes of hosts have available, for placement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

from common.serialization import from_dict
from common.values import NumaNode
from regiond.db.pool import Db
from regiond.ledger.model import pages_key
from regiond.placement.candidate import CandidateHugePages, CandidateNode

# Whoever composes on a host may see its resource pool and its project, but not all others on the server.
_NODES = """
    select h.id as host_id, s.numa_nodes::text, s.pinned_core_ids,
           (select jsonb_object_agg(r.key, r.claimed) from discrete_resource r
             where r.server_id = s.id and r.resource = 'huge_pages') as pages_claimed,
           (select jsonb_object_agg(c.key, coalesce(m.hostname, g.name))
              from claim c left join machine m on m.id = c.machine_id left join guest g on g.id = c.guest_id
             where c.server_id = s.id and c.key is not null and c.resource = 'pinned_core'
               and (m.pool_id = h.pool_id or g.project = h.project)) as pinned_by
      from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[])
"""


async def numa_nodes_of_hosts(db: Db, host_ids: Iterable[int]) -> Mapping[int, tuple[CandidateNode, ...]]:
    """Returns the nodes of each host in node order, with one query; empty if the host or its nodes are unknown."""
    wanted = list(host_ids)
    nodes: dict[int, tuple[CandidateNode, ...]] = dict.fromkeys(wanted, ())
    for row in await db.fetch(_NODES, wanted):
        pinned, claimed = frozenset(row["pinned_core_ids"]), row["pages_claimed"] or {}
        pinned_by = {int(core_id): name for core_id, name in (row["pinned_by"] or {}).items()}
        nodes[row["host_id"]] = tuple(
            _candidate(node, pinned, pinned_by, claimed) for node in _nodes(row["numa_nodes"])
        )
    return nodes


@lru_cache(maxsize=1000)  # similar servers have equal texts, which rarely change
def _nodes(text: str) -> tuple[NumaNode, ...]:
    nodes = [from_dict(plain, NumaNode) for plain in json.loads(text)]
    return tuple(sorted(nodes, key=lambda node: node.node_id))


def _candidate(
    node: NumaNode, pinned: frozenset[int], pinned_by: Mapping[int, str], pages_claimed: Mapping[str, int]
) -> CandidateNode:
    return CandidateNode(
        node_id=node.node_id,
        core_ids=tuple(sorted(node.core_ids)),
        free_core_ids=tuple(sorted({*node.core_ids} - pinned)),
        siblings=node.siblings,
        pinned_by={core_id: pinned_by[core_id] for core_id in node.core_ids if core_id in pinned_by},
        pages=tuple(
            CandidateHugePages(
                size_kib=pages.size_kib,
                total=pages.total,
                free=max(0, pages.total - pages_claimed.get(pages_key(node.node_id, pages.size_kib), 0)),
            )
            for pages in node.huge_pages
        ),
    )
