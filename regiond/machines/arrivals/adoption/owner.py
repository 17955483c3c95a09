"""The owner of an adopted machine: the administrator who adopts it, or a user whom the request names."""

from __future__ import annotations

from common.errors import Busy, InvalidRequest
from common.words.operation_kinds import OperationKind
from regiond.accounts.grants import still_operators
from regiond.accounts.service import active_user
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.groups.model import ResourcePool
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.ownership_rules import check_unlocked
from regiond.machines.values.model import MachineView
from regiond.operations import store as operation_store
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_object

_ENDS_USE = (OperationKind.RELEASE, OperationKind.DELETE, OperationKind.FORGET)


async def find_owner(db: Db, caller: Caller, username: str | None, pool: ResourcePool) -> Caller:
    """Returns the account that a request names, by default the caller.

    Raises InvalidRequest, also for a user who is no operator of the pool and so could not release the machine.
    """
    if username is None or username == caller.username:
        return caller
    found = await active_user(db, username) if username.isprintable() else None
    if found is None:
        raise InvalidRequest.of({"owner": [no_object("active user", username)]})
    await _check_operator(db, found, pool)
    return found


async def give(db: Db, caller: Caller, system_id: str, owner: Caller) -> None:
    """Makes `owner` the owner of a machine that was adopted and not released since. Idempotent.

    Raises InvalidRequest for another machine, whose owner changes only by its release; NotAllowed for a locked machine;
    Busy for one that is being released, forgotten or deleted. The caller has locked the quotas.
    """
    await lifecycle_store.lock(db, [system_id])
    machine = await view_store.read(db, system_id)
    if machine.owner == owner.username:
        return
    if not machine.as_found:
        raise InvalidRequest.of({"owner": [_not_as_found(machine)]})
    check_unlocked(machine)
    await _check_stays(db, machine)
    await _check_operator(db, owner, machine.pool)
    await lifecycle_store.set_owner(db, machine.id, owner.account_id)
    before = f", and before to {machine.owner}" if machine.owner else ""
    message = f"{machine.hostname} belongs to {owner.username} now{before}"
    await Events.record(db, "owner_changed", message, caller=caller, host_id=machine.host_id, system_id=system_id)


async def _check_stays(db: Db, machine: MachineView) -> None:
    active = await operation_store.active(db, OperationKind.RELEASE, machine_id=machine.id)
    if active is not None and active.kind in _ENDS_USE:
        raise Busy(
            f"{machine.hostname} is not given to another owner during its {active.kind.value} (operation {active.id}).",
            operation=active.id,
        )


async def _check_operator(db: Db, owner: Caller, pool: ResourcePool) -> None:
    (is_operator,) = await still_operators(db, [(owner, pool.id)])
    if not is_operator:
        message = (
            f"{owner.username} is no operator of the resource pool {pool.name!r} and could not release the machine. "
            f"Grant the role first: innkeeper resource-pool grant {pool.id} user={owner.username} role=operator"
        )
        raise InvalidRequest.of({"owner": [message]})


def _not_as_found(machine: MachineView) -> str:
    belongs = f"belongs to {machine.owner}" if machine.owner else "has no owner"
    return (
        f"{machine.hostname} {belongs}. Only the owner of a VM that was adopted and not released since can be changed; "
        "others get theirs by allocation."
    )
