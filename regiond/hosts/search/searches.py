"""Searches for hosts that other rooms call; Hosts has these methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from regiond.db.pool import Database
from regiond.hosts.search import facts_store
from regiond.hosts.search.fields import HOST_FIELDS, HostFacts, Needs, matches, needs_of
from regiond.hosts.views.host_condition import STALE_AFTER
from regiond.requests.caller import Caller
from regiond.requests.search_query import parse, resolved

NOTHING_MORE = Needs()


@frozen(kw_only=True)
class HostSearch:
    """All hosts that the caller may see, those of them that match, and the names that a search may use, by field."""

    hosts: Sequence[HostFacts]
    found: Sequence[HostFacts]
    names: Mapping[str, Sequence[str]]


class HostSearches:
    def __init__(self, database: Database, *, stale_after: timedelta = STALE_AFTER) -> None:
        self._database = database
        self.stale_after = stale_after

    async def search(self, text: str, *, caller: Caller | None = None, needs: Needs = NOTHING_MORE) -> HostSearch:
        """Returns the hosts that match a query, by id, with the facts of `needs` and those that the query needs.

        Raises InvalidRequest for the field `q`, with what exists instead.
        """
        query = parse(text, HOST_FIELDS)
        wanted = needs_of(query)
        wanted = Needs(machines=needs.machines or wanted.machines, capacity=needs.capacity or wanted.capacity)
        async with self._database.connection() as db:
            hosts = await facts_store.facts(db, wanted, caller=caller, stale_after=self.stale_after)
            names = await facts_store.names(db, hosts, caller=caller)
        query = resolved(query, HOST_FIELDS, names)
        return HostSearch(hosts=hosts, found=[host for host in hosts if matches(query, host)], names=names)
