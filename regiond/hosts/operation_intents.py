"""Opens the operation that refreshes or removes a host, or returns the open one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from common.errors import Busy
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.hosts import store
from regiond.hosts.model import HostView
from regiond.hosts.removal_model import HostRemoval
from regiond.operations import intent_store
from regiond.operations import store as operation_store
from regiond.operations.model import OPEN_STATES, Operation, OperationState, stored_request
from regiond.requests.caller import Caller

MAX_REMOVE_FAILURES = 200
MAX_OPEN = 10_000

Confirm = Callable[[Db], Awaitable[None]]


async def open_refresh(db: Db, caller: Caller, host: HostView) -> int:
    """Returns the id of the refresh, opened in the caller's transaction unless one is open."""
    active = await operation_store.active(db, OperationKind.REFRESH, host_id=host.id)
    if active is not None:
        return active.id
    try:
        return await intent_store.insert(
            db, OperationKind.REFRESH, host_id=host.id, host_name=host.name, account_id=caller.account_id,
            request={}, max_failures=1,
        )  # fmt: skip
    except Busy:  # another caller has just opened a refresh
        active = await operation_store.active(db, OperationKind.REFRESH, host_id=host.id)
        if active is None:
            raise
        return active.id


async def open_first_refresh(db: Db, host_id: int, host_name: str) -> None:
    """Opens the refresh of a host that was just added, in the caller's transaction."""
    await intent_store.insert(
        db, OperationKind.REFRESH, host_id=host_id, host_name=host_name, account_id=None, request={}, max_failures=1
    )


async def open_removals(
    db: Db, caller: Caller, hosts: Sequence[HostView], removal: HostRemoval, confirm: Confirm | None = None
) -> list[int]:
    """Returns the ids of the removals, opened in the caller's transaction unless they are open.

    `confirm` runs when no machine can be added to any of the hosts any more; what it raises ends the transaction.
    """
    if confirm is not None:
        for host in sorted(hosts, key=lambda one: one.id):
            await store.lock(db, host.id)  # waits for composes that have chosen the host: what they add counts
        await confirm(db)
    return [await open_removal(db, caller, host, removal) for host in hosts]


async def open_removal(db: Db, caller: Caller, host: HostView, removal: HostRemoval) -> int:
    """Returns the id of the removal, opened in the caller's transaction unless one is open.

    From now on no machine is composed on the host. Raises Busy if the open removal treats the machines differently or
    is being undone.
    """
    await store.set_removing(db, host.id)  # serializes callers
    active = await _open_one(db, host.id, removal)
    if active is not None and (active.cancel_requested or active.state is OperationState.UNDOING):
        raise Busy(
            f"The removal of {host.name} (operation {active.id}) is being undone. Try again when that has ended.",
            operation=active.id,
        )
    if active is not None:
        open_one = active.request_as(HostRemoval)
        if open_one == removal:
            return active.id
        raise Busy(
            f"{host.name} is already being removed {open_one.description} (operation {active.id}).",
            operation=active.id,
        )
    operation_id = await intent_store.insert(
        db, OperationKind.REMOVE_HOST, host_id=host.id, host_name=host.name, account_id=caller.account_id,
        request=stored_request(removal), max_failures=MAX_REMOVE_FAILURES,
    )  # fmt: skip
    await Events.record(
        db, "host_removal_requested", f"The removal of {host.name} was requested", caller=caller, host_id=host.id
    )
    return operation_id


async def _open_one(db: Db, host_id: int, removal: HostRemoval) -> Operation | None:
    """Returns the open removal. A removal by force does not wait for another: it ends that together with the host."""
    removals = [
        one
        for one in await operation_store.list_operations(db, states=OPEN_STATES, host_id=host_id, limit=MAX_OPEN)
        if one.kind is OperationKind.REMOVE_HOST
    ]
    forced = [one for one in removals if one.request_as(HostRemoval).force]
    if forced or removal.force:
        return forced[0] if forced else None
    return removals[-1] if removals else None
