"""Lists of machines, and searches for them, that other rooms call; Machines has these methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regiond.db.pool import Database
from regiond.machines.core import view_store
from regiond.machines.searches import page_store
from regiond.machines.searches.search import names_store
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.model import MachinePage, MachineView
from regiond.machines.values.search import GroupSizes, MachineFilter, MachineSearch, PageOfIds
from regiond.requests.caller import Caller
from regiond.requests.long_list import LongList
from regiond.requests.search_query import SearchQuery, names_used, parse, resolved


class MachineSearches:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def long_list(
        self, wanted: MachineFilter, *, caller: Caller | None = None, owner_data: bool = True
    ) -> LongList[MachineView]:
        """Returns the machines that the caller may see, by id, without a limit. Owner data on request."""
        async with self._database.connection() as db:
            ids = await view_store.machine_ids(db, wanted, caller=caller)
        return self._of_ids(ids, caller, owner_data=owner_data)

    def _of_ids(self, ids: Sequence[int], caller: Caller | None, *, owner_data: bool = True) -> LongList[MachineView]:
        async def read(batch: Sequence[int]) -> tuple[MachineView, ...]:
            async with self._database.connection() as db:
                return await view_store.read_all(db, batch, caller=caller, owner_data=owner_data)

        return LongList(keys=ids, read=read)

    async def by_hostname(
        self, wanted: MachineFilter, *, limit: int, caller: Caller | None = None
    ) -> tuple[LongList[MachineView], PageOfIds]:
        """Returns the first machines that the caller may see, by hostname, after that of `wanted.after`."""
        async with self._database.connection() as db:
            page = await view_store.page_of(db, wanted, limit=limit, caller=caller)
        return self._of_ids(page.ids, caller), page

    async def hostname_of_last(self, ids: Sequence[int]) -> str:
        """Returns the hostname of the last of these machines that still exists; empty if none does."""
        async with self._database.connection() as db:
            return await view_store.hostname_of_last(db, ids)

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

    async def ordered(self, wanted: MachineSearch, *, caller: Caller | None = None) -> LongList[MachineView]:
        """Returns all machines of a search that the caller may see, in its order."""
        return self._of_ids(await self.ordered_ids(wanted, caller=caller), caller)
