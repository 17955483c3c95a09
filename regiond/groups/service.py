"""Reads zones and resource pools; administrators create, change and delete them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import asdict

from common.errors import InvalidRequest, NotFound
from common.words.phrases import number_of
from regiond.db.pool import Database, Db, reading, unique
from regiond.events.service import Events
from regiond.groups import store
from regiond.groups.model import (
    DEFAULT_POOL_ID,
    DEFAULT_ZONE_ID,
    GroupUsers,
    PoolChange,
    ResourcePool,
    Zone,
    check_group,
    check_strategy,
)
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import findable
from regiond.requests.validation_messages import existing, no_such


async def _pool(db: Db, id_or_name: str, *, caller: Caller | None = None) -> ResourcePool:
    """Raises NotFound, also for a pool that the caller may not see."""
    return existing(await store.pool(db, findable(id_or_name), caller=caller), "pool", id_or_name)


class Groups:
    """Names are unique among zones and among pools. An invalid or taken name raises InvalidRequest for `name`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    zones = reading(store.zones)

    async def zone(self, name: str) -> Zone:
        """The zone with that name, or `id:2`. Raises NotFound."""
        async with self._database.connection() as db:
            return existing(await store.zone(db, findable(name)), "zone", name)

    async def requested_zone_id(self, id_or_name: str | None) -> int | None:
        """Returns the id of the zone in the request field `zone`; None if it is absent. Raises InvalidRequest."""
        if id_or_name is None:
            return None
        async with self._database.connection() as db:
            zone = await store.zone_by_id_or_name(db, findable(id_or_name))
            if zone is None:
                raise InvalidRequest.of({"zone": [no_such("zone", [id_or_name], _names(await store.zones(db)))]})
            return zone.id

    async def requested_pool_id(self, id_or_name: str | None) -> int | None:
        """Returns the id of the pool in the request field `pool`; None if it is absent. Raises InvalidRequest."""
        pool = await self.requested_pool(id_or_name)
        return None if pool is None else pool.id

    async def requested_pool(self, id_or_name: str | None, *, caller: Caller | None = None) -> ResourcePool | None:
        """As `requested_pool_id`, but returns the pool. For a caller, one that it may not see does not exist."""
        if id_or_name is None:
            return None
        try:
            return await self.pool(id_or_name, caller=caller)
        except NotFound:
            known = _names(await self.pools(caller=caller))
            raise InvalidRequest.of({"pool": [no_such("pool", [id_or_name], known)]}) from None

    async def create_zone(self, caller: Caller, name: str, description: str = "") -> Zone:
        caller.require_admin()
        check_group(name, description)
        async with self._database.transaction() as db:
            with unique("name", f"Zone {name!r} already exists."):
                created = await store.insert_zone(db, name, description)
            await Events.record(db, "zone_created", f"The zone {name!r} was created.", caller=caller)
            return created

    async def update_zone(
        self, caller: Caller, name: str, *, new_name: str | None = None, description: str | None = None
    ) -> Zone:
        """Changes the fields that are not None. Raises NotFound."""
        caller.require_admin()
        check_group(new_name, description)
        async with self._database.transaction() as db:
            with unique("name", f"Zone {new_name!r} already exists."):
                changed = existing(await store.update_zone(db, findable(name), new_name, description), "zone", name)
            await Events.record(db, "zone_changed", f"The zone {name!r} was changed.", caller=caller)
            return changed

    async def delete_zone(
        self, caller: Caller, name: str, *, move_to: str | None = None, dry_run: bool = False
    ) -> DeletionPlan:
        """Deletes a zone other than the default zone; its members move to the zone `move_to` first. Idempotent.

        Raises InvalidRequest if the zone is in use and `move_to` is None, or if `move_to` is no other zone.
        """
        caller.require_admin()

        async def delete(db: Db) -> DeletionPlan:
            zone, target = await _lock_zones(db, name, move_to)
            if zone is None:
                return DeletionPlan(name=name, effects=(f"There is no zone {name!r}.",))
            if zone.id == DEFAULT_ZONE_ID:
                raise InvalidRequest("This zone is the default zone, it cannot be deleted.")
            if move_to is not None:
                await _check_target(db, zone, target, move_to)
            users = await store.users_of_zone(db, zone.id)
            moved = ""
            effects: tuple[str, ...] = ()
            if users:
                if target is None:
                    raise _in_use(zone, users)
                gaining = await store.racks_that_move(db, zone.id, target.id)
                await store.move_members(db, zone.id, target.id)
                moved = f"; {users} moved to the zone {target.name!r}"
                effects = (f"Members that move to the zone {target.name!r}: {users}.", *_gained(gaining, target))
            await store.delete_zone(db, zone.id)
            await Events.record(db, "zone_deleted", f"The zone {zone.name!r} was deleted{moved}.", caller=caller)
            deleted = AffectedRecord(kind="zone", id=str(zone.id), name=zone.name)
            return DeletionPlan(name=zone.name, deleted=(deleted,), effects=effects)

        # It can deadlock with other locks of hosts or machines.
        return await self._database.in_transaction(delete, dry_run=dry_run)

    pools = reading(store.pools)
    pool = reading(_pool)

    async def create_pool(self, caller: Caller, new: PoolChange) -> ResourcePool:
        caller.require_admin()
        check_group(new.name or "", new.description)
        check_strategy(new.strategy)
        async with self._database.transaction() as db:
            with unique("name", f"Pool {new.name!r} already exists."):
                created = await store.insert_pool(db, new)
            await Events.record(db, "pool_created", f"The pool {new.name!r} was created.", caller=caller)
            return created

    async def update_pool(self, caller: Caller, id_or_name: str, change: PoolChange) -> ResourcePool:
        """Changes the fields that are given. Raises NotFound."""
        caller.require_admin()
        check_group(change.name, change.description)
        check_strategy(change.strategy)
        async with self._database.transaction() as db:
            pool = await _pool(db, id_or_name)
            with unique("name", f"Pool {change.name!r} already exists."):
                changed = existing(await store.update_pool(db, pool.id, change), "pool", id_or_name)
            await Events.record(db, "pool_changed", f"The pool {pool.name!r} was changed.", caller=caller)
            return changed

    async def delete_pool(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound; InvalidRequest if the pool is in use or the default pool."""
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            pool = await _pool(db, id_or_name)
            if pool.id == DEFAULT_POOL_ID:
                raise InvalidRequest("This pool is the default pool, it cannot be deleted.")
            users = await store.users_of_pool(db, pool.id)
            if users:
                held = "machines" if users.machines else users  # with machines in it, the text of MAAS
                details = asdict(users, filter=lambda attribute, _: attribute.name != "racks")  # pools have none
                raise InvalidRequest(f"Pool has {held} in it, it cannot be deleted.", **details)
            await store.delete_pool(db, pool.id)
            await Events.record(db, "pool_deleted", f"The pool {pool.name!r} was deleted.", caller=caller)
        deleted = AffectedRecord(kind="resource pool", id=str(pool.id), name=pool.name)
        return DeletionPlan(name=pool.name, deleted=(deleted,))


async def _lock_zones(db: Db, name: str, move_to: str | None) -> tuple[Zone | None, Zone | None]:
    """Locks and returns the zone of a path and the zone of a field; None for one that does not exist.

    Locks the servers of the hosts that are to move before: see `hosts.store.move_to_zone`.
    """
    zone = await store.zone(db, findable(name))
    target = None if move_to is None else await store.zone_by_id_or_name(db, findable(move_to))
    if zone is not None and target is not None:
        await store.lock_servers(db, zone.id)
    locked = await store.lock_zones(db, {one.id for one in (zone, target) if one is not None})
    return (zone and locked.get(zone.id)), (target and locked.get(target.id))


async def _check_target(db: Db, zone: Zone, target: Zone | None, move_to: str) -> None:
    """Raises InvalidRequest for the field `move_to` unless it is another zone than the one to be deleted."""
    if target is None:
        others = [one for one in _names(await store.zones(db)) if one != zone.name]
        raise InvalidRequest.of({"move_to": [no_such("zone", [move_to], others)]})
    if target == zone:
        raise InvalidRequest.of({"move_to": ["This is the zone to be deleted; name another."]})


def _names(groups: Iterable[Zone | ResourcePool]) -> list[str]:
    return [group.name for group in groups]


def _in_use(zone: Zone, users: GroupUsers) -> InvalidRequest:
    return InvalidRequest(
        f"Zone {zone.name!r} has {users} in it, it cannot be deleted. Move them first, or name the zone to which they "
        "move: move_to=ZONE.",
        **asdict(users),
    )


def _gained(hosts_by_rack: Mapping[str, int], target: Zone) -> tuple[str, ...]:
    """Returns what the racks of a deleted zone may do from then on."""
    return tuple(
        f"The rack {name!r} serves the zone {target.name!r} from then on, with {number_of(hosts, 'VM host')} that it "
        "did not serve before, and receives the credentials of those that it acts on."
        for name, hosts in hosts_by_rack.items()
        if hosts
    )
