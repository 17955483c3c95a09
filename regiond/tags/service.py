"""Reads tags; administrators create, change and delete them, and put them on machines and VM hosts."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InvalidRequest
from common.words.phrases import first_of
from regiond.db.pool import Database, Db, reading, unique
from regiond.events.service import Events
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import findable
from regiond.requests.validation_messages import existing, no_such
from regiond.tags import store
from regiond.tags.model import Tag, TagChange, TaggedNodes, check_name, check_removable

_MAX_NAMED = 10
_EXISTS = "Tag with this Name already exists."  # clients of MAAS match it


async def _tag(db: Db, name: str, *, caller: Caller | None = None) -> Tag:
    """Raises NotFound."""
    return existing(await store.read(db, findable(name), caller=caller), "tag", name)


async def unknown_tags(db: Db, names: Sequence[str], *, caller: Caller | None = None) -> Sequence[str]:
    """Returns a message that names those of the names which are no tags that the caller may see; none: empty."""
    unknown = await store.unknown(db, names, caller=caller) if names else ()
    choices = [tag.name for tag in await store.all_tags(db, caller=caller)] if unknown else ()
    return [no_such("tag(s)", list(unknown), choices)] if unknown else []


class Tags:
    """A tag exists if it was created, or if a machine or a host has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    list = reading(store.all_tags)
    read = reading(_tag)
    problems = reading(unknown_tags)

    async def create(self, caller: Caller, tag: Tag) -> Tag:
        """Raises InvalidRequest for an invalid name, or one of a tag that was created before.

        A tag that machines or hosts have already may be created once, to give it a comment.
        """
        caller.require_admin()
        check_name(tag.name)
        async with self._database.transaction() as db:
            with unique("name", _EXISTS):
                await store.insert(db, tag)
            await Events.record(db, "tag_created", f"The tag {tag.name!r} was created.", caller=caller)
        return tag

    async def update(self, caller: Caller, name: str, change: TagChange) -> Tag:
        """Changes the fields that are not None; a new name is that of its machines and hosts too.

        Raises NotFound; InvalidRequest for a new name that is invalid, or that another tag has.
        """
        caller.require_admin()
        new_name = change.name if change.name != name else None
        if new_name is not None:
            check_name(new_name)
            check_removable(name)

        async def work(db: Db) -> Tag:
            await _tag(db, name)
            await store.lock(db, name)
            if new_name is not None and await store.read(db, new_name, caller=None) is not None:
                raise InvalidRequest.of({"name": [_EXISTS]})
            with unique("name", _EXISTS):
                changed = await store.update(db, name, change)
            renamed = "changed" if new_name is None else f"renamed to {new_name!r}"
            await Events.record(db, "tag_changed", f"The tag {name!r} was {renamed}.", caller=caller)
            return changed

        return await self._database.in_transaction(work)  # its locks of machines and hosts can deadlock with others

    async def delete(self, caller: Caller, name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the tag and takes it from all machines and hosts. Raises NotFound."""
        caller.require_admin()
        check_removable(name)

        async def work(db: Db) -> DeletionPlan:
            await _tag(db, name)
            users = str(await store.delete(db, name))
            lost = f"; {users} had it" if users else ""
            await Events.record(db, "tag_deleted", f"The tag {name!r} was deleted{lost}.", caller=caller)
            effects = (f"Nodes that lose the tag: {users}.",) if users else ()
            deleted = AffectedRecord(kind="tag", id=name, name=name)
            return DeletionPlan(name=name, deleted=(deleted,), effects=effects)

        return await self._database.in_transaction(work, dry_run=dry_run)

    async def update_nodes(self, caller: Caller, name: str, add: Sequence[str], remove: Sequence[str]) -> TaggedNodes:
        """Puts the tag on the machines and hosts `add`, then takes it from `remove`; both by system id or name.

        Idempotent. Returns how many of them exist. Raises NotFound for the tag; InvalidRequest that names the unknown
        of `add`. Unknown ones of `remove` are not an error: what was deleted does not have the tag.
        """
        caller.require_admin()

        async def work(db: Db) -> TaggedNodes:
            await _tag(db, name)
            await store.lock(db, name)
            named = await store.named_nodes(db, [*add, *remove])
            unknown = [repr(one) for one in dict.fromkeys(add) if one not in named]
            if unknown:
                message = f"There is no machine or VM host {first_of(unknown, _MAX_NAMED)}."
                raise InvalidRequest.of({"add": [message]})
            added = {named[one] for one in add}
            removed = {named[one] for one in remove if one in named}
            await store.add_to(db, name, list(added))
            await store.remove_from(db, name, list(removed))
            counts = TaggedNodes(added=len(added), removed=len(removed))
            message = f"The tag {name!r} was put on {counts.added} and taken from {counts.removed} machines or hosts."
            await Events.record(db, "tag_nodes_changed", message, caller=caller)
            return counts

        return await self._database.in_transaction(work)
