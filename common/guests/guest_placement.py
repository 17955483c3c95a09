"""The cores, huge pages and NUMA nodes of its host that a guest is bound to."""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen
from attrs.validators import ge

from common.guests.sizes import GuestSize


@frozen(kw_only=True)
class GuestPlacement:
    """The host resources that a guest is bound to; the fields are those of a `GuestSpec`.

    Without any it runs anywhere on its host.
    """

    pinned_core_ids: tuple[int, ...] = ()
    huge_page_size_kib: int | None = None
    numa_node_ids: tuple[int, ...] = ()

    @property
    def is_bound(self) -> bool:
        return bool(self.pinned_core_ids or self.huge_page_size_kib is not None or self.numa_node_ids)


UNBOUND = GuestPlacement()


class Placed(Protocol):
    """The part of a guest that its placement concerns: a `GuestSpec`, or a `PlacedGuest`."""

    @property
    def name(self) -> str: ...
    @property
    def cores(self) -> int: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def pinned_core_ids(self) -> tuple[int, ...]: ...
    @property
    def huge_page_size_kib(self) -> int | None: ...
    @property
    def numa_node_ids(self) -> tuple[int, ...]: ...


@frozen(kw_only=True)
class PlacedGuest:
    """An existing guest with the size and the placement that it is to have."""

    name: str
    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    pinned_core_ids: tuple[int, ...] = ()
    huge_page_size_kib: int | None = None
    numa_node_ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, size: GuestSize, placement: GuestPlacement) -> PlacedGuest:
        return cls(
            name=name,
            cores=size.cores,
            memory_mib=size.memory_mib,
            pinned_core_ids=placement.pinned_core_ids,
            huge_page_size_kib=placement.huge_page_size_kib,
            numa_node_ids=placement.numa_node_ids,
        )
