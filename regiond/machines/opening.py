"""The intent of an operation on a machine: written in the caller's transaction, with the move that it begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from common.discovery import VolumeRef
from common.errors import Busy, WrongState
from common.values import GuestRef, Mark
from common.wire import to_plain
from regiond.machines import life_store
from regiond.machines.life import Event, MachineState
from regiond.machines.model import MachineView
from regiond.machines.requests import MAX_FAILURES, request_of
from regiond.machines.spec import known_spec
from regiond.operations import store as operation_store
from regiond.operations.model import OperationKind

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def open_operation(
    db: Db,
    kind: OperationKind,
    machine: MachineView,
    installation_id: UUID,
    *,
    account_id: int | None,
    begins: Event | None = None,
    request: Mapping[str, Any] | None = None,
    parent_id: int | None = None,
) -> int:
    """The operation's id. `begins` is what happens to the machine with it.

    Operations come before machines, here and where they end: whoever has locked the machine's row before would wait for
    an operation that ends, and that for the row. Raises Busy while something else acts on the machine or it is not made
    yet, WrongState, NotFound.
    """
    check_settled(machine)
    operation_id = await operation_store.insert(
        db, kind, host_id=machine.host_id, host_name=machine.host_name, machine_id=machine.id,
        system_id=machine.system_id, hostname=machine.hostname, parent_id=parent_id, account_id=account_id,
        request=request_of(known_spec(machine, installation_id), **(request or {})), max_failures=MAX_FAILURES,
    )  # fmt: skip
    if begins is not None:
        await life_store.happens(db, machine.id, begins)
    return operation_id


async def open_clean_up(
    db: Db, host_id: int, host_name: str, guest: GuestRef, volumes: Sequence[tuple[str, str]] = ()
) -> None:
    """The removal of a guest whose machine was given up, and of these volumes (storage pool, name) of ours.

    Nothing is written when such a removal is under way.
    """
    plain = to_plain(guest)
    open_states = ("queued", "running", "waiting", "undoing")
    for operation in await operation_store.list_operations(db, host_id=host_id, states=open_states, limit=1000):
        if operation.kind is OperationKind.CLEAN_UP and operation.request.get("guest") == plain:
            return
    await operation_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=guest.name,
        request={"guest": plain, "volumes": [list(volume) for volume in volumes]}, max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_volume_removal(db: Db, host_id: int, host_name: str, mark: Mark, volumes: Sequence[VolumeRef]) -> int:
    """The removal of these volumes, which are named after `mark` and which no guest has; the operation's id.

    No guest is touched by it, and a volume that a guest has by then stays.
    """
    return await operation_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=volumes[0].name,
        request={"mark": to_plain(mark), "unused": to_plain(tuple(volumes))},
        max_failures=MAX_FAILURES,
    )  # fmt: skip


async def open_unmark(
    db: Db, host_id: int, host_name: str, guest_id: int, guest_key: str, guest_name: str, mark: Mark
) -> int:
    """The removal of `mark` from this one guest, which is a copy of a machine's; the operation's id."""
    copy = {"id": guest_id, "key": guest_key, "name": guest_name, "mark": to_plain(mark)}
    return await operation_store.insert(
        db, OperationKind.CLEAN_UP, host_id=host_id, host_name=host_name, hostname=guest_name, request={"copy": copy},
        max_failures=MAX_FAILURES,
    )  # fmt: skip


def check_settled(machine: MachineView) -> None:
    """Raises Busy before it is a whole machine, WrongState when it is on no host."""
    if machine.state in (MachineState.COMPOSING, MachineState.ADOPTING):
        done = "composed" if machine.state is MachineState.COMPOSING else "adopted"
        raise Busy(f"{machine.hostname} is still being {done}.")
    if machine.host_id is None:
        raise WrongState(f"{machine.hostname} is on no host.")
