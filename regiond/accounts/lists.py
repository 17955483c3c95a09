"""Saved filters and chosen columns: how each user wants to see the lists."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InvalidRequest
from regiond.accounts import list_store
from regiond.accounts.model import MAX_SAVED_FILTERS, ListColumns, SavedFilter
from regiond.db.pool import Database, Db
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.validation_messages import existing

_WORD = "saved filter of yours"


class Lists:
    """All methods act on what is the caller's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def filters(self, caller: Caller, of_list: str | None = None) -> tuple[SavedFilter, ...]:
        """Returns the saved filters of one list, or of all, by list and name."""
        async with self._database.connection() as db:
            return await list_store.filters(db, caller.account_id, of_list)

    async def read_filter(self, filter_id: int, *, caller: Caller) -> SavedFilter:
        """Raises NotFound."""
        async with self._database.connection() as db:
            return await _filter(db, caller, filter_id)

    async def save(self, caller: Caller, of_list: str, name: str, query: str) -> SavedFilter:
        """Raises InvalidRequest for the field `name`: it is taken, or there are too many."""
        async with self._database.transaction() as db:
            if await list_store.lock_and_count(db, caller.account_id) >= MAX_SAVED_FILTERS:
                raise InvalidRequest.of({"name": [f"You have {MAX_SAVED_FILTERS} saved filters; delete one first."]})
            saved = await list_store.insert(db, caller.account_id, of_list, name, query)
        if saved is None:
            raise _taken(name)
        return saved

    async def change(self, caller: Caller, filter_id: int, name: str | None, query: str | None) -> SavedFilter:
        """Returns the filter after the change; None leaves a field as it is.

        Raises NotFound, and InvalidRequest for the field `name` if another filter of the list has it.
        """
        async with self._database.transaction() as db:
            await list_store.lock_and_count(db, caller.account_id)
            saved = await _filter(db, caller, filter_id)
            name, query = saved.name if name is None else name, saved.query if query is None else query
            if await list_store.is_taken(db, caller.account_id, saved, name):
                raise _taken(name)
            changed = await list_store.update(db, caller.account_id, filter_id, name, query)
            return existing(changed, _WORD, filter_id)

    async def delete(self, caller: Caller, filter_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound."""
        async with self._database.transaction(dry_run=dry_run) as db:
            saved = await _filter(db, caller, filter_id)
            await list_store.delete(db, caller.account_id, filter_id)
        record = AffectedRecord(kind="saved filter", id=str(saved.id), name=saved.name)
        return DeletionPlan(name=saved.name, deleted=(record,))

    async def columns(self, caller: Caller) -> tuple[ListColumns, ...]:
        """Returns the columns that the caller chose, by list; none for a list with its default."""
        async with self._database.connection() as db:
            return await list_store.columns(db, caller.account_id)

    async def columns_of(self, caller: Caller, of_list: str) -> ListColumns | None:
        """Returns the columns that the caller chose for the list; None: the default."""
        async with self._database.connection() as db:
            return next(iter(await list_store.columns(db, caller.account_id, of_list)), None)

    async def choose_columns(self, caller: Caller, of_list: str, columns: Sequence[str]) -> ListColumns:
        """Idempotent."""
        chosen = tuple(dict.fromkeys(columns))
        async with self._database.transaction() as db:
            await list_store.choose(db, caller.account_id, of_list, chosen)
        return ListColumns(list=of_list, columns=chosen)

    async def forget_columns(self, caller: Caller, of_list: str, *, dry_run: bool = False) -> DeletionPlan:
        """Makes the list have its default columns. Idempotent."""
        async with self._database.transaction(dry_run=dry_run) as db:
            await list_store.forget(db, caller.account_id, of_list)
        return DeletionPlan(name=of_list, effects=("The list has its default columns again.",))


async def _filter(db: Db, caller: Caller, filter_id: int) -> SavedFilter:
    return existing(await list_store.read(db, caller.account_id, filter_id), _WORD, filter_id)


def _taken(name: str) -> InvalidRequest:
    return InvalidRequest.of({"name": [f"You have a filter {name!r} of this list already."]})
