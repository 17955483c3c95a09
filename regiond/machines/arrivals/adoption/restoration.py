"""Restores detached machines and kept disks when a newly added host lists their guests.

docs/decisions/0006 explains why this needs no confirmation.
"""

from __future__ import annotations

from uuid import UUID

import structlog

from common.words.phrases import first_of, number_of
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import guest_ownership
from regiond.machines.core.store import IdentifierTaken
from regiond.machines.detached import detached_disk_store, detached_store
from regiond.machines.detached.detached_store import RestoredMachine, ReturnedGuest
from regiond.machines.devices.mac_conflicts import take_mac_addresses
from regiond.machines.values.lifecycle import restored_state
from regiond.requests.identifiers import new_system_id

MAX_NAMED = 5  # devices that a message names
log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def restore(db: Db, host_id: int) -> frozenset[UUID]:
    """Restores the detached machines whose guests the host lists, and its kept disks; returns the UUIDs. Idempotent.

    Call it after a discovery run was applied. Devices lose MAC addresses that the guests have. A machine is restored by
    the next refresh if a concurrent transaction takes its name or id, or a name or MAC address of it or its devices.
    """
    installation_id = await detached_store.installation_id(db)
    restored = set()
    for guest in await detached_store.returned_guests(db, host_id, installation_id):
        state = restored_state(guest.state, owned=guest.owned, as_found=guest.as_found)
        try:
            async with db.transaction():
                await take_mac_addresses(db, guest.mac_addresses, hostname=guest.hostname)
                machine = await detached_store.insert_restored(db, host_id, guest, state, new_system_id=new_system_id())
        except IdentifierTaken as error:
            log.warning("machine_not_restored", host_id=host_id, uuid=str(guest.uuid), constraint=error.constraint)
            continue
        await guest_ownership.reattach_guest(db, host_id, guest.guest_id, machine.id, installation_id, guest.uuid)
        await detached_store.drop(db, guest.uuid)
        await _record_event(db, host_id, guest, machine)
        restored.add(guest.uuid)
    await _restore_disks(db, host_id)
    return frozenset(restored)


async def _restore_disks(db: Db, host_id: int) -> None:
    places = await detached_disk_store.restore(db, host_id)
    if places:
        name = await detached_store.host_name(db, host_id)
        message = f"{number_of(len(places), 'kept disk')} returned with {name}: {first_of(places, MAX_NAMED)}"
        await Events.record(db, "kept_disks_restored", message, host_id=host_id)


async def _record_event(db: Db, host_id: int, guest: ReturnedGuest, machine: RestoredMachine) -> None:
    host_name = await detached_store.host_name(db, host_id)
    message = f"{machine.hostname} was restored: {host_name} lists its virtual machine"
    if machine.hostname != guest.hostname:
        message += f"; its former name {guest.hostname} is in use"
    if machine.devices:
        message += f"; its devices are {first_of(machine.devices, MAX_NAMED)}"
    if machine.lost_addresses:
        message += f"; its former addresses {', '.join(machine.lost_addresses)} are in use"
    level = Level.WARNING if machine.lost_addresses else Level.INFO
    await Events.record(db, "machine_restored", message, level=level, host_id=host_id, system_id=machine.system_id)
