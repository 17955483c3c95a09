"""Reads hosts and guests from the database: those that the caller may see; without a caller, all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from common.errors import InvalidRequest
from common.hosts.capacity import Capacity
from common.hosts.host_settings import HostLimits
from regiond.db.pool import reading
from regiond.events.model import EventFilter
from regiond.events.service import Events
from regiond.hosts.address.address_change import known_server
from regiond.hosts.model import EVERY_GUEST, GuestFilter, GuestView, HostView
from regiond.hosts.numa.numa_model import NumaNodeView
from regiond.hosts.numa.numa_usage import numa_usage
from regiond.hosts.search.searches import HostSearches
from regiond.hosts.trust.known_before import OF_OTHER_INSTALLATION, TRUSTED_ALREADY
from regiond.hosts.views import guest_view_store, view_store
from regiond.hosts.views.view_store import read_host
from regiond.ledger.capacities import capacities_of_hosts, capacity_with_limits
from regiond.ledger.capacity_totals import fleet_capacity
from regiond.ledger.model import FleetCapacity
from regiond.requests.caller import Caller
from regiond.requests.long_list import LongList
from regiond.requests.validation_messages import existing, no_object

GUESTS_BATCH = 500
_KNOWN_BEFORE = EventFilter(kinds=(TRUSTED_ALREADY, OF_OTHER_INSTALLATION), limit=5)


class HostQueries(HostSearches):
    read_all = reading(view_store.list_hosts)

    async def known_before(self, caller: Caller, host_id: int) -> tuple[str, ...]:
        """Returns what was found out about a server that knew an Innkeeper before it was added, with what helps."""
        found = await Events(self._database).list(evolve(_KNOWN_BEFORE, host_id=host_id), caller=caller)
        return tuple(event.message for event in reversed(found))

    async def long_list(self, *, caller: Caller | None = None) -> LongList[HostView]:
        """Returns the hosts that the caller may see, by id."""

        async def read(ids: Sequence[int]) -> tuple[HostView, ...]:
            async with self._database.connection() as db:
                return await view_store.list_hosts(db, ids, caller=caller)

        async with self._database.connection() as db:
            return LongList(keys=await view_store.host_ids(db, caller=caller), read=read, keyed_by="id")

    async def long_list_of_guests(
        self, wanted: GuestFilter = EVERY_GUEST, *, caller: Caller | None = None
    ) -> LongList[GuestView]:
        """Returns the guests that match and that the caller may see, by id."""

        async def read(ids: Sequence[int]) -> tuple[GuestView, ...]:
            async with self._database.connection() as db:
                return await guest_view_store.read_guests(db, ids)

        async with self._database.connection() as db:
            keys = await guest_view_store.guest_ids(db, wanted, caller=caller)
            return LongList(keys=keys, read=read, batch=GUESTS_BATCH, keyed_by="id")

    guest_counts = reading(guest_view_store.guest_counts)
    count = reading(view_store.count_hosts)
    expiring_certificates = reading(view_store.expiring_certificates)
    supervised_hosts = reading(view_store.supervised_hosts)
    read = reading(read_host)
    compose_target = reading(view_store.compose_target)
    of_system_ids = reading(view_store.hosts_of_system_ids)

    async def capacity(self, *, caller: Caller | None = None) -> FleetCapacity:
        """Returns the capacity of the fleet and of each zone and resource pool, with one query."""
        visible = None if caller is None else caller.visible_pools
        async with self._database.connection() as db:
            found = await capacities_of_hosts(db, pool_ids=visible)
        return await asyncio.to_thread(fleet_capacity, found)

    async def capacities(self, host_ids: Iterable[int]) -> Mapping[int, Capacity]:
        """Returns the capacity by host id, without hosts that had no successful refresh, with one query."""
        async with self._database.connection() as db:
            found = await capacities_of_hosts(db, host_ids)
        return {one.host_id: one.capacity for one in found if one.capacity is not None}

    async def capacity_with(self, host_id: int, limits: HostLimits, *, caller: Caller | None = None) -> Capacity | None:
        """Returns the capacity that the host would have with other limits; None before the first successful refresh.

        Raises NotFound.
        """
        async with self._database.connection() as db:
            await read_host(db, host_id, caller=caller)
            return await capacity_with_limits(db, host_id, limits)

    ids_of = reading(view_store.ids_of)
    names = reading(view_store.names)
    names_of = reading(view_store.names_of)

    async def numa(self, host_id: int) -> tuple[NumaNodeView, ...]:
        """Returns the NUMA nodes of the server by id; none before the first successful refresh. Raises NotFound."""
        async with self._database.connection() as db:
            host = await read_host(db, host_id)
            allocated = await view_store.numa_allocations(db, host_id)
        return numa_usage(host.numa_nodes, host.network_devices, allocated, host.capacity)

    async def guest(self, guest_id: int, *, caller: Caller | None = None) -> GuestView:
        """Returns the guest. Raises NotFound."""
        async with self._database.connection() as db:
            guests = await guest_view_store.list_guests(db, guest_id, caller=caller)
        return existing(next(iter(guests), None), "virtual machine", guest_id)

    async def server_of(self, id_or_name: str) -> str:
        """Returns the identity of the host's server. Raises InvalidRequest under `host` if it is not known."""
        found = (await self.ids_of([id_or_name]))[id_or_name]
        if len(found) != 1:
            raise InvalidRequest.of({"host": [no_object("VM host", id_or_name, await self.names())]})
        async with self._database.connection() as db:
            server = await known_server(db, *found)
        if server is None:
            raise InvalidRequest.of({"host": [f"VM host {id_or_name} has had no successful refresh yet."]})
        return server.identity
