"""Computes the capacity of one resource of a host: the only definition of claimable and free."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

from common.capacity import ResourceCapacity


@lru_cache(maxsize=10_000)  # most machines have one of a few sizes, most hosts one of a few ratios
def claimable(total: int, ratio: float) -> int:
    """Returns `floor(total × ratio)` in decimal arithmetic: 100 × 0.29 is 29, not 28."""
    return int((Decimal(str(ratio)) * total).to_integral_value(rounding=ROUND_FLOOR))


def free_of(most: int, claimed_by_all: int) -> int:
    """Returns what is left of the `most` that is claimable; 0 after a ratio was lowered below the claims."""
    return max(0, most - claimed_by_all)


def resource_capacity(
    total: int,
    *,
    reserved: int = 0,
    ratio: float = 1.0,
    claimed: int = 0,
    claimed_by_all: int,
    takes_machines: bool = True,
) -> ResourceCapacity:
    """Returns the capacity as the guard of a claim counts it (`regiond.ledger.batch_claims`).

    `claimed` are the claims of the host's own machines, `claimed_by_all` those of the whole server. Only cores and
    general memory have a `ratio`. Nothing is free on a host that takes no machines.
    """
    most = claimable(max(0, total - reserved), ratio)
    return ResourceCapacity(
        total=total,
        claimable=most,
        claimed=claimed,
        elsewhere=max(0, claimed_by_all - claimed),
        free=free_of(most, claimed_by_all) if takes_machines else 0,
    )


def sum_of(parts: Iterable[ResourceCapacity]) -> ResourceCapacity:
    """Adds up parts of which none is also in another: pools of a server, different servers.

    A part with more claims than is claimable does not reduce what the others have free.
    """
    parts = tuple(parts)
    return ResourceCapacity(
        total=sum(part.total for part in parts),
        claimable=sum(part.claimable for part in parts),
        claimed=sum(part.claimed for part in parts),
        elsewhere=sum(part.elsewhere for part in parts),
        free=sum(part.free for part in parts),
    )


def same_seen_by(views: Iterable[ResourceCapacity]) -> ResourceCapacity:
    """Returns the capacity of one resource that several hosts share, from the view of each.

    The claims of each host are in `claimed`, so `elsewhere` is what none of them holds. `claimable` and `free` are
    those of the host with the most: hosts of one server can have different ratios, and share what is free.
    """
    views = tuple(views)
    if len(views) == 1:
        return views[0]
    claimed = sum(view.claimed for view in views)
    used = max((view.claimed + view.elsewhere for view in views), default=0)
    return ResourceCapacity(
        total=max((view.total for view in views), default=0),
        claimable=max((view.claimable for view in views), default=0),
        claimed=claimed,
        elsewhere=max(0, used - claimed),
        free=max((view.free for view in views), default=0),
    )
