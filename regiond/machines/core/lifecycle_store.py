"""Changes a machine's state, owner and fields in the database, by the lifecycle table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import asyncpg
from attrs import frozen

from common.errors import InvalidRequest, NotFound, WrongState
from common.values import PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db, of_row
from regiond.machines.values.lifecycle import (
    NEXT,
    PREVENTED_BY_LOCK,
    MachineEvent,
    found_event,
    next_state,
    not_removed_events,
    protection_text,
)
from regiond.machines.values.model import unproven_text
from regiond.machines.values.power import EndedStock
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller

_LOCK = "select state, owner_id is not null or as_found as owned from machine where id = $1 for update"
_LOCK_ALL = "select 1 from machine where system_id = any($1::text[]) order by id for update"
# `settled_at` makes a discovery run that started before an operation ended ignore the machine; a state that a
# discovery run itself finds does not change `settled_at`.
_SET_STATE = """
    update machine
       set state = $2, settled_at = case when $3 then clock_timestamp() else settled_at end,
           missing_since = case when $2 = 'missing' then coalesce(missing_since, clock_timestamp()) end
     where id = $1
"""
# A request for power says what the machine should be, also if it was so already.
ASKED_POWER = """
       set power_state = $2, settled_at = clock_timestamp(), wanted_power = $3, wanted_power_at = clock_timestamp(),
           wanted_power_by = $4, wanted_power_user = $5, stopped_with = null, start_tries = 0
"""
_END_COMPOSE = f"""
    update machine {ASKED_POWER}, state = case when owner_id is not null or as_found then $8 else $7 end
     where id = $1 and state = $6
    returning true
"""
_SET_OWNER = "update machine set owner_id = $2, agent_name = $3 where id = $1"
# What was used and not emptied has data of its owner, who counts as its maker: nobody else gets it. Administrators
# decide about an adopted one, whose data was there before. One that came from MAAS is released as it was there.
_CLEAR_OWNER = """
    update machine m set owner_id = null, agent_name = '', owner_data = '{}', workload_annotations = '{}',
                         as_found = false, imported = false, composed_by_allocate = false,
                         is_stock = not m.adopted and is_empty,
                         composed_by_id = case when m.adopted then null
                                           when is_empty then m.composed_by_id
                                           else coalesce(m.owner_id, m.composed_by_id) end
      from (select (o.is_stock or o.imported or $2)
                   and not exists (select from guest g
                                    where g.machine_id = o.id and (g.iso <> '' or g.next_iso <> '')) as is_empty
              from machine o where o.id = $1) as found
     where m.id = $1
"""
_END_STOCK = """
    update machine m set is_stock = false, generation = generation + 1 where id = $1 and is_stock
    returning m.hostname, m.system_id, m.host_id, m.owner_id is null and m.state = 'ready' as was_stock,
              (select username from account where id = m.composed_by_id) as made_by,
              (select username from account where id = $2) as used_by
"""
_EMPTIED = "update machine set is_stock = not adopted where id = $1"
_OWNER_DATA = "update machine set owner_data = (owner_data - $2::text[]) || $3::jsonb where id = $1"
_ANNOTATIONS = """
    update machine set workload_annotations = (workload_annotations - $2::text[]) || $3::jsonb where id = $1
"""
_SET_LOCKED = "update machine set locked = $2 where id = $1"
_PROTECTED = "select system_id, hostname, locked from machine where id = $1 and (locked or unproven_since is not null)"
_ERROR = "update machine set error_description = $2 where id = $1"
_UPDATE = """
    update machine set hostname = coalesce($2, hostname), pool_id = coalesce($3, pool_id),
                       description = coalesce($4, description),
                       autostart = case when $5::text is null then autostart else nullif($5, 'default') end
     where id = $1
"""
# Events that lead an owned machine back to its earlier state; another event follows if that was deployed.
_LEADS_BACK = frozenset(
    {
        MachineEvent.FOUND_OWNED,
        MachineEvent.FIXED_OWNED,
        MachineEvent.RELEASE_FAILED,
    }
)
_STILL = {"deployed": MachineEvent.STILL_DEPLOYED, "failed": MachineEvent.STILL_FAILED}
_DEPLOYED = {"deployed": MachineState.DEPLOYED, "failed": MachineState.FAILED_DEPLOYMENT}
# The system that the machine runs: one that was deployed, or the one that the guest had when it was adopted.
_DEPLOYMENT = """
    select coalesce(d.state, case when m.as_found then 'deployed' end)
      from machine m left join deployment d on d.machine_id = m.id
     where m.id = $1
"""
_COMPOSED = next_state(MachineState.COMPOSING, MachineEvent.COMPOSED)
_UNLISTED = (MachineState.MISSING, MachineState.NEW)  # the host did not list the machine's guest
_IS_LISTED = "select exists (select from guest where machine_id = $1)"
_OWNER = "select a.username from machine m left join account a on a.id = m.owner_id where m.id = $1"
# The power state of a guest on an unreachable host is from when the host was last reached.
_IS_AT_REST = """
    select h.state = 'ready' and m.power_state = 'off'
           and not exists (select from operation o where o.machine_id = m.id and o.is_open)
      from machine m join vm_host h on h.id = m.host_id
     where m.id = $1
"""
# A machine that another transaction has locked is skipped, not waited for.
_LOCK_ALLOCATABLE = """
    select m.id from machine m
     where m.id = $1 and m.state = 'ready' and m.owner_id is null and not m.as_found
       and not m.locked and m.unproven_since is null
       and (m.is_stock and not exists (select from machine_disk d where d.machine_id = m.id and d.origin = 'foreign')
            or $2 or m.composed_by_id = $3)
       and not exists (select 1 from operation o
                        where o.machine_id = m.id and o.is_open)
       for update skip locked
"""


@frozen(kw_only=True)
class Locked:
    """A machine whose row the transaction has locked. `owned`: it has an owner, or is as found."""

    state: MachineState
    owned: bool


async def apply_event(db: Db, machine_id: int, event: MachineEvent) -> MachineState:
    """Returns the new state. Locks the machine's row until the caller's transaction ends.

    Raises WrongState if the table has no such transition or the machine is protected from it by `set_locked`,
    NotFound if the machine was deleted; nothing is changed then.
    """
    machine = await _locked(db, machine_id)
    if event in PREVENTED_BY_LOCK:
        await _check_unprotected(db, machine_id)
    return await _transition(db, machine_id, machine.state, event)


async def record_listed(db: Db, machine_id: int, *, listed: bool) -> None:
    """Records whether a discovery run listed the machine's guest. Idempotent.

    Changes nothing if the machine was deleted, or is in a state that does not depend on it.
    """
    row = await db.fetchrow(_LOCK, machine_id)
    if row is None:
        return
    state = MachineState(row["state"])
    event = found_event(owned=row["owned"]) if listed else MachineEvent.LOST
    if (state, event) in NEXT:
        await _transition(db, machine_id, state, event, settles=False)


async def end_removal(db: Db, machine_id: int, *, cancelled: bool, was: MachineState | None = None) -> MachineState:
    """Ends the removal of a machine that was not removed, and returns its state.

    The state is the earlier one, `was` (None: ready, or allocated), unless that depends on the guest, which a refresh
    has listed since; failed if a release should have destroyed the machine. Raises as `apply_event`.
    """
    machine = await _locked(db, machine_id)
    state, owned = machine.state, machine.owned
    if was in _UNLISTED and await db.fetchval(_IS_LISTED, machine_id):
        was = None
    if owned and (was is None or was in _DEPLOYED.values()):
        was = _DEPLOYED.get(await db.fetchval(_DEPLOYMENT, machine_id))  # None: its disk was emptied meanwhile
    for event in not_removed_events(state, owned=owned, cancelled=cancelled, was=was):
        state = await _transition(db, machine_id, state, event)
    return state


async def end_compose(db: Db, machine_id: int, power: PowerState, username: str | None) -> None:
    """Ends a compose that `username` asked for: the machine is ready, or allocated if it has an owner already.

    It should stay on or off, as the compose leaves it. Raises as `apply_event`.
    """
    wanted = power.value if power in (PowerState.ON, PowerState.OFF) else None
    asked = (power.value, wanted, OperationKind.COMPOSE.value, username)
    states = (MachineState.COMPOSING.value, _COMPOSED.value, next_state(_COMPOSED, MachineEvent.ALLOCATED).value)
    if not await db.fetchval(_END_COMPOSE, machine_id, *asked, *states):
        next_state((await _locked(db, machine_id)).state, MachineEvent.COMPOSED)


async def allocate(db: Db, machine_id: int, caller: Caller, agent_name: str) -> bool:
    """Returns whether the machine is now allocated to the caller.

    Nothing is changed if it is no longer ready, is locked, or is in use by then and not the caller's.
    """
    if await db.fetchval(_LOCK_ALLOCATABLE, machine_id, caller.is_admin, caller.account_id) is None:
        return False
    await db.execute(_SET_OWNER, machine_id, caller.account_id, agent_name)
    await apply_event(db, machine_id, MachineEvent.ALLOCATED)
    return True


async def end_stock(db: Db, machine_id: int, account_id: int | None) -> EndedStock | None:
    """Records that a use of the machine begins, by this account if one asked for it.

    Returns the machine if it was stock; None if it had an owner, or was used before. Idempotent.
    """
    return ended_stock(await db.fetchrow(_END_STOCK, machine_id, account_id))


def ended_stock(row: asyncpg.Record | None) -> EndedStock | None:
    """Returns the machine of a row whose `was_stock` says that it was stock until now; otherwise None."""
    return None if row is None or not row["was_stock"] else of_row(EndedStock, row)


async def set_emptied(db: Db, machine_id: int) -> None:
    """Records that the root disk of the machine is empty again: it is stock when it is released, unless used before."""
    await db.execute(_EMPTIED, machine_id)


async def set_owner(db: Db, machine_id: int, account_id: int) -> None:
    """Gives the machine to an account; its state does not change. Idempotent."""
    await db.execute(_SET_OWNER, machine_id, account_id, "")


async def owner_of(db: Db, machine_id: int) -> str | None:
    """Returns the name of the account that owns the machine now."""
    found: str | None = await db.fetchval(_OWNER, machine_id)
    return found


async def set_locked(db: Db, machine_id: int, *, locked: bool) -> None:
    """Protects the machine from deletion and release, or ends the protection. Idempotent."""
    await db.execute(_SET_LOCKED, machine_id, locked)


async def lock(db: Db, system_ids: Iterable[str]) -> None:
    """Locks the machines' rows until the caller's transaction ends, in the order of their ids to avoid deadlocks."""
    await db.execute(_LOCK_ALL, list(system_ids))


async def is_at_rest(db: Db, machine_id: int) -> bool:
    """Returns whether the machine's guest is off and nothing is about to start it.

    That means that its host is ready and no operation of the machine is open. While the machine is locked (`lock`), no
    other transaction opens one.
    """
    return bool(await db.fetchval(_IS_AT_REST, machine_id))


async def lock_one(db: Db, machine_id: int) -> None:
    """As `lock`, by the row id."""
    await db.execute(_LOCK, machine_id)


async def clear_owner(db: Db, machine_id: int, *, emptied: bool) -> None:
    """Removes the owner, the agent name, the owner data and the workload annotations.

    An adopted machine is no longer as it was found, and the next release does not destroy a machine that was composed
    for this owner. The machine is stock if it was not used, or its disks were `emptied`; otherwise it is in use, and
    its owner is who made it.
    """
    await db.execute(_CLEAR_OWNER, machine_id, emptied)


async def set_owner_data(db: Db, machine_id: int, *, values: Mapping[str, str], removed: Iterable[str]) -> None:
    """Sets `values` and removes the keys in `removed`; other keys are unchanged."""
    await db.execute(_OWNER_DATA, machine_id, list(removed), dict(values))


async def set_workload_annotations(
    db: Db, machine_id: int, *, values: Mapping[str, str], removed: Iterable[str]
) -> None:
    """Sets `values` and removes the keys in `removed`; other keys are unchanged."""
    await db.execute(_ANNOTATIONS, machine_id, list(removed), dict(values))


async def update(
    db: Db,
    machine_id: int,
    *,
    hostname: str | None = None,
    pool_id: int | None = None,
    description: str | None = None,
    autostart: str | None = None,
) -> None:
    """Changes the fields that are not None. Raises InvalidRequest; the caller must then roll back."""
    try:
        await db.execute(_UPDATE, machine_id, hostname, pool_id, description, autostart)
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']}) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest(f"The pool no longer exists: {error.detail}") from error


async def set_error_description(db: Db, machine_id: int, text: str) -> None:
    await db.execute(_ERROR, machine_id, text)


async def _locked(db: Db, machine_id: int) -> Locked:
    """Raises NotFound."""
    row = await db.fetchrow(_LOCK, machine_id)
    if row is None:
        raise _deleted(machine_id)
    return Locked(state=MachineState(row["state"]), owned=row["owned"])


def _deleted(machine_id: int) -> NotFound:
    return NotFound("The machine has just been deleted.", machine=machine_id)


async def _check_unprotected(db: Db, machine_id: int) -> None:
    row = await db.fetchrow(_PROTECTED, machine_id)
    if row is not None:
        hostname, system_id = row["hostname"], row["system_id"]
        text = protection_text(hostname, system_id) if row["locked"] else unproven_text(hostname)
        raise WrongState(text, system_id=system_id)


async def _transition(
    db: Db, machine_id: int, state: MachineState, event: MachineEvent, *, settles: bool = True
) -> MachineState:
    after = next_state(state, event)
    if event in _LEADS_BACK and after is MachineState.ALLOCATED:
        deployed = _STILL.get(await db.fetchval(_DEPLOYMENT, machine_id))
        after = after if deployed is None else next_state(after, deployed)
    await db.execute(_SET_STATE, machine_id, after.value, settles)
    return after
