"""Reads the holders of cores and memory on hosts that have too little, so that their rejection names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from regiond.db.pool import Db
from regiond.ledger.service import compute_claimed_by_hosts
from regiond.placement.model import Candidate, Placement


async def with_claims_here(db: Db, hosts: Sequence[Candidate], placements: Iterable[Placement]) -> Sequence[Candidate]:
    """Returns the hosts with the claims of their own machines where a placement rejects one for cores or memory.

    Returns `hosts` itself if there is no such host: a compose that fits needs no more query. The caller places again.
    """
    short = {one.host_id for placement in placements for one in placement.rejected if one.lacks_compute}
    if not short:
        return hosts
    claimed = await compute_claimed_by_hosts(db, short)
    return tuple(
        evolve(
            host,
            cores_claimed_here=claimed[host.id].cores,
            memory_mib_claimed_here=claimed[host.id].memory_mib,
        )
        if host.id in claimed
        else host
        for host in hosts
    )
