"""The state of a machine, its owner, and what is kept with it. Every change of state goes by the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import asyncpg

from common.errors import InvalidRequest, NotFound
from regiond.machines.life import NEXT, Event, MachineState, found, move, undeleted

if TYPE_CHECKING:
    from regiond.db.pool import Db

_LOCK = "select state, owner_id from machine where id = $1 for update"
_LOCK_ALL = "select 1 from machine where system_id = any($1::text[]) order by id for update"
# What an operation does is newer than a look that began before it; what a look finds is no news to other looks.
_SET = """
    update machine
       set state = $2, settled_at = case when $3 then clock_timestamp() else settled_at end,
           missing_since = case when $2 = 'missing' then coalesce(missing_since, clock_timestamp()) end
     where id = $1
"""
_OWN = "update machine set owner_id = $2, agent_name = $3 where id = $1"
_OWN_FROM_BIRTH = "update machine set owner_id = $2, agent_name = $3, composed_by_allocate = true where id = $1"
_FREE = "update machine set owner_id = null, agent_name = '', owner_data = '{}' where id = $1"
_OWNER_DATA = "update machine set owner_data = (owner_data - $2::text[]) || $3::jsonb where id = $1"
_ERROR = "update machine set error_description = $2 where id = $1"
_UPDATE = """
    update machine set hostname = coalesce($2, hostname), zone_id = coalesce($3, zone_id),
                       pool_id = coalesce($4, pool_id), description = coalesce($5, description)
     where id = $1
"""
# Whoever else is about to take it has it: it is passed over, and nobody waits.
_TAKE = """
    select m.id from machine m
     where m.id = $1 and m.state = 'ready' and m.owner_id is null
       and not exists (select 1 from operation o
                        where o.machine_id = m.id and o.state in ('queued', 'running', 'waiting', 'undoing'))
       for update skip locked
"""


async def happens(db: Db, machine_id: int, event: Event) -> MachineState:
    """Move the machine, inside the caller's transaction; its row is locked from then on.

    Raises WrongState and changes nothing, NotFound when it is gone.
    """
    state, _ = await _locked(db, machine_id)
    return await _moved(db, machine_id, state, event)


async def looked_at(db: Db, machine_id: int, *, there: bool) -> None:
    """A listing of its host has its guest, or has not. No news for a look that goes on.

    Nothing happens when somebody has just moved the machine to where the listing makes no difference, or removed it.
    """
    row = await db.fetchrow(_LOCK, machine_id)
    if row is None:
        return
    state, event = MachineState(row["state"]), found(owned=row["owner_id"] is not None) if there else Event.LOST
    if (state, event) in NEXT:
        await _moved(db, machine_id, state, event, settles=False)


async def stays(db: Db, machine_id: int, *, cancelled: bool) -> MachineState:
    """It was not removed: it is ready, or its owner's as before; failed when it was released to be destroyed."""
    state, owned = await _locked(db, machine_id)
    return await _moved(db, machine_id, state, undeleted(state, owned=owned, cancelled=cancelled))


async def made(db: Db, machine_id: int) -> MachineState:
    """Composed: ready, or its owner's when it was composed for one."""
    state, owned = await _locked(db, machine_id)
    state = await _moved(db, machine_id, state, Event.COMPOSED)
    return await _moved(db, machine_id, state, Event.ALLOCATED) if owned else state


async def take(db: Db, machine_id: int, account_id: int, agent_name: str) -> bool:
    """Allocate a ready machine, unless it is no longer one or somebody else is just taking it."""
    if await db.fetchval(_TAKE, machine_id) is None:
        return False
    await db.execute(_OWN, machine_id, account_id, agent_name)
    await happens(db, machine_id, Event.ALLOCATED)
    return True


async def own_from_birth(db: Db, machine_id: int, account_id: int, agent_name: str) -> None:
    """The machine that is being composed is that account's when it is made, and is destroyed when it is released."""
    await db.execute(_OWN_FROM_BIRTH, machine_id, account_id, agent_name)


async def lock(db: Db, system_ids: Iterable[str]) -> None:
    """Nobody else moves these machines until the caller's transaction ends. In one order, so that no two wait for each
    other."""
    await db.execute(_LOCK_ALL, list(system_ids))


async def free(db: Db, machine_id: int) -> None:
    """It is nobody's any more, and nothing of the owner stays with it."""
    await db.execute(_FREE, machine_id)


async def set_owner_data(db: Db, machine_id: int, *, kept: Mapping[str, str], dropped: Iterable[str]) -> None:
    """Keys that are in neither stay."""
    await db.execute(_OWNER_DATA, machine_id, list(dropped), dict(kept))


async def change(
    db: Db, machine_id: int, *, hostname: str | None, zone_id: int | None, pool_id: int | None, description: str | None
) -> None:
    """What is not None is changed. Raises InvalidRequest; the caller's transaction must then roll back."""
    try:
        await db.execute(_UPDATE, machine_id, hostname, zone_id, pool_id, description)
    except asyncpg.UniqueViolationError as error:
        message = f'Node with hostname "{hostname}" already exists'
        raise InvalidRequest.of({"hostname": [message]}) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest(f"The zone or pool has just been removed: {error.detail}") from error


async def describe_error(db: Db, machine_id: int, text: str) -> None:
    await db.execute(_ERROR, machine_id, text)


async def _locked(db: Db, machine_id: int) -> tuple[MachineState, bool]:
    row = await db.fetchrow(_LOCK, machine_id)
    if row is None:
        raise NotFound("No Machine matches the given query.", machine=machine_id)
    return MachineState(row["state"]), row["owner_id"] is not None


async def _moved(db: Db, machine_id: int, state: MachineState, event: Event, *, settles: bool = True) -> MachineState:
    after = move(state, event)
    await db.execute(_SET, machine_id, after.value, settles)
    return after
