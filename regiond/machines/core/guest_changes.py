"""Applies to machines the changes of their guests that a discovery run found."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.machines.core import boot_store, lifecycle_store, store
from regiond.machines.core.stock import STARTED_ELSEWHERE, record_end
from regiond.machines.remains.foreign_disks.store import record_more
from regiond.machines.values.lifecycle import NEXT, MachineEvent
from regiond.machines.values.states import MachineState


class MachineGuestChanges:
    """Implements `GuestChangeHandler` of hosts' discovery, in the transaction that applies the run."""

    def expects_guest(self, state: str) -> bool:
        return (MachineState(state), MachineEvent.LOST) in NEXT

    def awaits_guest(self, state: str) -> bool:
        return (MachineState(state), MachineEvent.FOUND) in NEXT

    async def guest_missing(self, db: Db, machine_id: int) -> None:
        await lifecycle_store.record_listed(db, machine_id, listed=False)

    async def guest_returned(self, db: Db, machine_id: int) -> None:
        await lifecycle_store.record_listed(db, machine_id, listed=True)

    async def guest_moved(self, db: Db, machine_id: int, *, host_id: int, server_id: int) -> None:
        off = await store.note_moved_off(db, machine_id, host_id)
        if off is not None:
            message = f"{off.hostname} ran on {off.left_host}, and is off on {off.host}, where its cluster has it now"
            await Events.record(
                db, "machine_should_run", message, level=Level.WARNING, host_id=host_id, system_id=off.system_id
            )
        await store.move(db, machine_id, host_id=host_id, server_id=server_id)

    async def power_changed(self, db: Db, machine_id: int, power_state: str) -> None:
        ended = await store.set_listed_power(db, machine_id, power_state)
        if ended is not None:
            await record_end(db, ended, STARTED_ELSEWHERE)

    async def guest_resized(self, db: Db, machine_id: int, *, cores: int, memory_mib: int) -> None:
        await store.set_size(db, machine_id, cores=cores, memory_mib=memory_mib)

    async def booted_once(self, db: Db, machine_id: int, key: str) -> None:
        await boot_store.end_once(db, machine_id, key)

    async def disks_listed(self, db: Db, machine_ids: Sequence[int]) -> None:
        await record_more(db, machine_ids)

    async def boot_disk_changed(self, db: Db, machine_id: int, pool_key: str, volume: str) -> None:
        await boot_store.choose_listed(db, machine_id, pool_key, volume)
