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
class HostFilter:
    """Which hosts may take the machine at all; a part that is empty lets any pass.

    Several hosts, zones or resource pools are alternatives. A host has all of `tags` and none of `not_tags`. Zones and
    resource pools are names.
    """

    host_ids: frozenset[int] = frozenset()
    zones: tuple[str, ...] = ()
    not_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()


ANY_HOST = HostFilter()


@frozen(kw_only=True)
class Wish:
    """What a machine needs. `host_id` names the host; None leaves the choice among those of `hosts` to the score."""

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskWish, ...]
    architecture: str | None = None
    cpu_speed_mhz: int | None = None
    host_id: int | None = None
    hosts: HostFilter = ANY_HOST


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
    """A host as placement sees it. Capacity is None while it is unknown; claims are those of the whole server.

    `zone` and `pool` (the resource pool) are names.
    """

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
    cpu_speed_mhz: int | None = None
    zone: str = "default"
    pool: str = "default"
    tags: tuple[str, ...] = ()

    @property
    def cores_left(self) -> int:
        return claimable(self.cores or 0, self.cpu_over_commit_ratio) - self.cores_claimed

    @property
    def memory_mib_left(self) -> int:
        return claimable(self.memory_mib or 0, self.memory_over_commit_ratio) - self.memory_mib_claimed


@frozen(kw_only=True)
class DiskPlace:
    """A disk and the storage pool of the host that it goes to. `label` and `tags` are those of the wish."""

    label: str
    size_bytes: int
    tags: tuple[str, ...]
    storage_pool_id: int
    storage_pool: str


@frozen(kw_only=True)
class Verdict:
    """What placement says of one host: `reasons` why not, or its score and where each disk goes, the root one first."""

    host_id: int
    host_name: str
    reasons: tuple[str, ...] = ()
    score: float | None = None
    disks: tuple[DiskPlace, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.reasons

    @property
    def storage_pool_ids(self) -> tuple[int, ...]:
        return tuple(disk.storage_pool_id for disk in self.disks)


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

    def as_explanation(self, taken: Verdict | None = None) -> Mapping[str, object]:
        """The answer as plain data, stored with the operation and shown to people.

        `taken` is the host that got the machine in the end, when a race for the best one was lost.
        """
        chosen = taken or self.chosen
        return {
            "chosen": chosen.host_name if chosen else None,
            "chosen_id": chosen.host_id if chosen else None,
            "disks": [_disk(disk) for disk in chosen.disks] if chosen else [],
            "fitting": [
                {"host": verdict.host_name, "host_id": verdict.host_id, "score": verdict.score}
                for verdict in self.order
            ],
            "refused": [
                {"host": verdict.host_name, "host_id": verdict.host_id, "reasons": list(verdict.reasons)}
                for verdict in self.refused
            ],
            "left_out": [{"hosts": hosts, "reason": reason} for reason, hosts in self.left_out.items()],
        }


def _disk(disk: DiskPlace) -> Mapping[str, object]:
    return {"label": disk.label, "size": disk.size_bytes, "tags": list(disk.tags), "storage_pool": disk.storage_pool}
