"""What placement sees of hosts, what is asked of them, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache

from attrs import field, frozen
from attrs.validators import ge

from regiond.placement.storage_text import DiskWish


@lru_cache(maxsize=10_000)  # the same few sizes and ratios for every machine placed
def claimable(total: int, ratio: float) -> int:
    """`floor(total × ratio)`, exactly: 100 × 0.29 is 29, not 28."""
    return int((Decimal(str(ratio)) * total).to_integral_value(rounding=ROUND_FLOOR))


@frozen(kw_only=True)
class Wish:
    """What a machine needs. `host_id` names the host; None leaves the choice to the score."""

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskWish, ...]
    architecture: str | None = None
    host_id: int | None = None


@frozen(kw_only=True)
class PoolOffer:
    """A storage pool: `room_bytes` is what may still be claimed of `total_bytes`."""

    id: int
    pool_key: str
    name: str
    total_bytes: int
    room_bytes: int


@frozen(kw_only=True)
class HostOffer:
    """A host as placement sees it. Capacity is None while it is unknown; claims are those of the whole server."""

    id: int
    name: str
    state: str
    reachable: bool
    architecture: str | None
    cores: int | None
    memory_mib: int | None
    cores_claimed: int = 0
    memory_mib_claimed: int = 0
    cpu_over_commit_ratio: float = 1.0
    memory_over_commit_ratio: float = 1.0
    storage_pools: tuple[PoolOffer, ...] = ()
    default_storage_pool_id: int | None = None

    @property
    def cores_left(self) -> int:
        return claimable(self.cores or 0, self.cpu_over_commit_ratio) - self.cores_claimed

    @property
    def memory_mib_left(self) -> int:
        return claimable(self.memory_mib or 0, self.memory_over_commit_ratio) - self.memory_mib_claimed


@frozen(kw_only=True)
class Verdict:
    """What placement says of one host: `reasons` why not, or the storage pool of each disk and the score."""

    host_id: int
    host_name: str
    reasons: tuple[str, ...] = ()
    score: float | None = None
    storage_pool_ids: tuple[int, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.reasons


@frozen(kw_only=True)
class Placement:
    """`order` holds the hosts that fit, best first; `refused` the others, each with at least one reason.

    `left_out` counts hosts that were not looked at by name, since there are too many, by what was found of them.
    """

    order: tuple[Verdict, ...]
    refused: tuple[Verdict, ...]
    left_out: Mapping[str, int] = field(factory=dict)

    @property
    def chosen(self) -> Verdict | None:
        return self.order[0] if self.order else None

    def as_explanation(self) -> Mapping[str, object]:
        """The answer as plain data, stored with the operation and shown to people."""
        return {
            "chosen": self.chosen.host_name if self.chosen else None,
            "fitting": [{"host": verdict.host_name, "score": verdict.score} for verdict in self.order],
            "refused": [{"host": verdict.host_name, "reasons": list(verdict.reasons)} for verdict in self.refused],
            "left_out": [{"hosts": hosts, "reason": reason} for reason, hosts in self.left_out.items()],
        }
