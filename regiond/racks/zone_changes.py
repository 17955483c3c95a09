"""Has linked racks forget hosts that they no longer serve, and finds those that they serve from now on.

Whatever changed the zone of a host or the zones of a rack: this compares what is with what should be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol
from uuid import UUID

from attrs import field, frozen

from regiond.racks.zone_store import UnservedHost

Served = Mapping[UUID, frozenset[int]]  # a rack that serves all zones is left out


class ZoneRecords(Protocol):
    """What is recorded about racks and zones."""

    async def served_hosts(self) -> Served: ...

    async def unserved_hosts(self) -> Iterable[UnservedHost]: ...

    async def record_forgotten(self, unserved: UnservedHost) -> None: ...


class Disconnect(Protocol):
    async def __call__(self, rack_id: UUID, host_id: int) -> bool:
        """Has the rack forget the host. Returns whether it confirmed that."""


@frozen(kw_only=True)
class ZoneChange:
    """`forgotten` has the hosts that a rack no longer knows, `served` the hosts that each rack serves newly."""

    forgotten: frozenset[tuple[UUID, int]] = frozenset()
    served: Served = field(factory=dict)


class ZoneChanges:
    """One per region process."""

    def __init__(self, records: ZoneRecords, disconnect: Disconnect) -> None:
        self._records = records
        self._disconnect = disconnect
        self._served: Served = {}
        self._hosts: frozenset[int] = frozenset()

    async def apply(self, hosts: Collection[int], watched: Mapping[int, UUID]) -> ZoneChange:
        """Returns what changed since the last call. `hosts` are all hosts, `watched` those that a linked rack watches.

        A rack that does not confirm is asked again by the next call.
        """
        served = await self._records.served_hosts()
        forgotten: set[tuple[UUID, int]] = set()
        for unserved in await self._records.unserved_hosts():
            if await self._disconnect(unserved.rack_id, unserved.host_id):
                await self._records.record_forgotten(unserved)
                forgotten.add((unserved.rack_id, unserved.host_id))
        for host_id, rack_id in watched.items():  # hosts without credentials too
            lost = rack_id in served and host_id not in served[rack_id] and (rack_id, host_id) not in forgotten
            if lost and await self._disconnect(rack_id, host_id):
                forgotten.add((rack_id, host_id))
        new = newly_served(self._served, served, frozenset(hosts) & self._hosts)
        self._served, self._hosts = served, frozenset(hosts)
        return ZoneChange(forgotten=frozenset(forgotten), served=new)


def newly_served(before: Served, now: Served, hosts: frozenset[int]) -> Served:
    """Returns those of `hosts` that racks serve now and did not serve before. A rack of all zones gains none."""
    gained = {rack_id: (now.get(rack_id, hosts) - known) & hosts for rack_id, known in before.items()}
    return {rack_id: found for rack_id, found in gained.items() if found}
