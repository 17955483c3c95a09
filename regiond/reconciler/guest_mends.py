"""What is done about guests with our mark when a person has approved it. No guest is removed by any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from common.errors import WrongState
from common.values import Mark
from regiond.hosts import handover, intake_store, view_store
from regiond.machines import life_store, store
from regiond.machines.adopting import open_adoption, open_forget
from regiond.machines.opening import check_settled, open_unmark
from regiond.networks.cards import place_cards
from regiond.racks import store as rack_store
from regiond.reconciler import look_store, mend_store, move_store, still
from regiond.reconciler.model import Difference

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def adopt(db: Db, difference: Difference) -> str | None:
    """It is a machine from then on, with the mark that it has, and runs on as it does."""
    guest_id = difference.number_of("guest")
    if difference.host_id is None:
        return None
    await handover.guests_of(db, difference.host_id)  # locks them in the order in which every adoption does
    again = await still.of_marked_guest(db, difference)
    if again is None or again.host_id != difference.host_id:
        return None
    host = await view_store.read(db, again.host_id)
    installation_id: UUID = await rack_store.installation_id(db)
    hostname, operation_id = await open_adoption(db, host, guest_id, installation_id)
    return f"{again.found}: operation {operation_id} adopts it as {hostname}"


async def take_mark_off(db: Db, difference: Difference) -> str | None:
    """It is a foreign guest from then on; the machine keeps its own."""
    guest_id = difference.number_of("guest")
    await mend_store.lock_guest(db, guest_id)
    again = await still.of_marked_guest(db, difference)
    if again is None or again.host_id is None or again.host_name is None:
        return None
    (guest,) = await look_store.marked_guests(db, guest_id)
    key = (await intake_store.rows_of(db, [guest_id]))[guest_id].guest_key
    installation_id: UUID = await rack_store.installation_id(db)
    mark = Mark(installation_id=installation_id, machine_id=guest.mark)
    operation_id = await open_unmark(db, again.host_id, again.host_name, guest_id, key, again.name, mark)
    return f"{again.found}: operation {operation_id} takes the mark off {again.name}"


async def let_missing_go(db: Db, difference: Difference) -> str | None:
    """The machine's row goes, as when it is forgotten: a guest that is there after all stays, and loses its mark."""
    machine_id = difference.number_of("machine")
    await mend_store.lock_machine(db, machine_id)
    again = await still.of_machine(db, difference)
    if again is None or again.system_id is None:
        return None
    machine = await store.read(db, again.system_id)
    check_settled(machine)
    installation_id: UUID = await rack_store.installation_id(db)
    operation_id = await open_forget(db, machine, installation_id, account_id=None)
    return f"{again.found}: operation {operation_id} removes the machine from the ledger"


async def move_to_guest(db: Db, difference: Difference) -> str | None:
    """The machine is where its guest is, and holds there what the guest takes."""
    guest_id = difference.number_of("guest")
    place = await move_store.place_of(db, guest_id)
    if place is None:
        return None
    servers = {place.server_id, *await mend_store.servers_of(db, machine_id=place.machine_id, guest_id=guest_id)}
    await mend_store.lock_servers(db, servers)
    await mend_store.lock_machine(db, place.machine_id)
    await mend_store.lock_guest(db, guest_id)
    again = await still.of_marked_guest(db, difference)
    if again is None or again.host_id is None or await move_store.place_of(db, guest_id) != place:
        return None
    lost = await move_store.move(db, place.machine_id, again.host_id, guest_id)
    if lost:
        raise WrongState(
            f"The guest {again.name} on {again.host_name} does not have {', '.join(lost)} of the machine: attach what "
            "is missing there, or move the guest back.",
            volumes=list(lost),
        )
    row = (await intake_store.rows_of(db, [guest_id]))[guest_id]
    await intake_store.take_over(db, place.server_id, row, place.machine_id)
    await place_cards(db, [place.machine_id])
    await life_store.looked_at(db, place.machine_id, there=True)
    await mend_store.retotal_all(db, servers)
    return f"{again.found}; {again.expected}: the machine is on {again.host_name} now"
