"""Searches for machines that other rooms call; Machines has these methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regiond.db.pool import Database
from regiond.machines.searches import page_store
from regiond.machines.searches.search import names_store
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.model import MachinePage
from regiond.machines.values.search import GroupSizes, MachineSearch
from regiond.requests.caller import Caller
from regiond.requests.search_query import SearchQuery, names_used, parse, resolved


class MachineSearches:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_query(self, text: str, *, caller: Caller | None = None) -> SearchQuery:
        """Returns the query of a text. Raises InvalidRequest for the field `q`, with what exists instead."""
        query = parse(text, MACHINE_FIELDS)
        used = names_used(query, MACHINE_FIELDS)
        if not used:
            return query
        async with self._database.connection() as db:
            known = await names_store.names(db, used, caller=caller)
        return resolved(query, MACHINE_FIELDS, known)

    async def names(self, fields: Iterable[str], *, caller: Caller | None = None) -> Mapping[str, Sequence[str]]:
        """Returns the names that a query may use, by field."""
        async with self._database.connection() as db:
            return await names_store.names(db, fields, caller=caller)

    async def page(self, wanted: MachineSearch, *, caller: Caller | None = None) -> MachinePage:
        """Returns one page of the machines that the caller may see; without their owner data."""
        async with self._database.connection() as db:
            return await page_store.read_page(db, wanted, caller=caller)

    async def group_sizes(self, wanted: MachineSearch, *, caller: Caller | None = None) -> GroupSizes:
        """Returns the numbers of machines of all pages of a search with groups, by what groups them."""
        async with self._database.connection() as db:
            return await page_store.group_sizes(db, wanted, caller=caller)

    async def ordered_ids(self, wanted: MachineSearch, *, caller: Caller | None = None) -> Sequence[int]:
        """Returns the row ids of all machines of a search that the caller may see, in its order, for a long list."""
        async with self._database.connection() as db:
            return await page_store.ordered_ids(db, wanted, caller=caller)
