"""Has linked racks forget hosts that they no longer serve, and finds those that they serve from now on.

It compares the hosts that racks know with the hosts that they should know, so the cause of the change does not matter:
a new zone of a host, or new zones of a rack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from attrs import field, frozen

from regiond.racks.reach.concurrent_calls import concurrently
from regiond.racks.reach.service import RackReach
from regiond.racks.reach.zone_store import UnservedHost
from regiond.racks.reach_model import Zones


class Disconnect(Protocol):
    async def __call__(self, rack_id: UUID, host_id: int) -> bool:
        """Has the rack forget the host. Returns whether it confirmed that."""


@frozen(kw_only=True)
class ServedZones:
    """The zone of each host, and the zones of each linked rack."""

    hosts: Mapping[int, int] = field(factory=dict)
    racks: Mapping[UUID, Zones] = field(factory=dict)

    def serves(self, rack_id: UUID, host_id: int) -> bool:
        """Returns whether the rack serves the zone of the host. A rack that is not linked serves none."""
        zones = self.racks.get(rack_id, frozenset())
        return zones is None or self.hosts[host_id] in zones


@frozen(kw_only=True)
class ZoneChange:
    """A change. `forgotten` has hosts that a rack no longer knows, `served` the hosts that each rack newly serves."""

    forgotten: frozenset[tuple[UUID, int]] = frozenset()
    served: Mapping[UUID, frozenset[int]] = field(factory=dict)


class ZoneChanges:
    """Finds and applies changes of served zones. One per region process."""

    def __init__(self, records: RackReach, disconnect: Disconnect) -> None:
        self._records = records
        self._disconnect = disconnect
        self._before = ServedZones()

    async def apply(self, hosts: Callable[[], Awaitable[Mapping[int, int]]], watched: Mapping[int, UUID]) -> ZoneChange:
        """Returns the changes since the last call, after racks were asked to forget hosts that they no longer serve.

        `hosts` returns the zone of every host, `watched` has the rack that watches each watched host. A rack that does
        not confirm is asked again by the next call, and delays no other rack. Hosts are not read while each rack serves
        all zones, and did so before.
        """
        racks = await self._records.zones_of_racks()
        if all(zones is None for zones in (*racks.values(), *self._before.racks.values())):
            self._before = ServedZones(racks=racks)
            return ZoneChange()
        now = ServedZones(hosts=await hosts(), racks=racks)
        forgotten = await self._forget(now, watched)
        served = newly_served(self._before, now)
        self._before = now
        return ZoneChange(forgotten=forgotten, served=served)

    async def _forget(self, now: ServedZones, watched: Mapping[int, UUID]) -> frozenset[tuple[UUID, int]]:
        unserved: defaultdict[UUID, dict[int, UnservedHost | None]] = defaultdict(dict)
        for one in await self._records.unserved_hosts():
            unserved[one.rack_id][one.host_id] = one
        for host_id, rack_id in watched.items():  # hosts without credentials too
            if rack_id in now.racks and host_id in now.hosts and not now.serves(rack_id, host_id):
                unserved[rack_id].setdefault(host_id, None)
        forgotten: set[tuple[UUID, int]] = set()

        async def forget(rack_id: UUID) -> None:
            for host_id, credentials in unserved[rack_id].items():
                if not await self._disconnect(rack_id, host_id):
                    return
                if credentials is not None:
                    await self._records.record_forgotten(credentials)
                forgotten.add((rack_id, host_id))

        await concurrently(forget, tuple(unserved))
        return frozenset(forgotten)


def newly_served(before: ServedZones, now: ServedZones) -> Mapping[UUID, frozenset[int]]:
    """Returns the hosts that each rack serves now and did not serve before.

    New and deleted racks and hosts are left out: a rack that connects probes all its hosts.
    """
    known = now.hosts.keys() & before.hosts.keys()
    moved = {host_id for host_id in known if now.hosts[host_id] != before.hosts[host_id]}
    gained = {}
    for rack_id in now.racks.keys() & before.racks.keys():
        candidates = moved if now.racks[rack_id] == before.racks[rack_id] else known
        found = {one for one in candidates if now.serves(rack_id, one) and not before.serves(rack_id, one)}
        if found:
            gained[rack_id] = frozenset(found)
    return gained
