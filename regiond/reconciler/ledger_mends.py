"""Claims, totals and addresses set right from what is there. Truth is not refused: it may exceed the ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from regiond.hosts.holding_store import held_by, write_held
from regiond.hosts.intake_store import rows_of
from regiond.ledger import store as claims
from regiond.ledger.check import wrong_totals
from regiond.ledger.totals import retotal
from regiond.reconciler import guests, ledger, look_store, mend_store, still
from regiond.reconciler.model import Difference

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def make_totals_anew(db: Db, difference: Difference) -> str | None:
    """All of the server's totals at once."""
    server_id = difference.number_of("server")
    await claims.lock_server(db, server_id)
    wrong = await wrong_totals(db, server_id)
    if difference.again(ledger.of_total(one, None, None) for one in wrong) is None:
        return None
    await retotal(db, server_id)
    return "totals made anew from the claims: " + "; ".join(
        f"{one.subject}: said {one.told}, is {one.claimed}" for one in wrong
    )


async def remove_claims(db: Db, difference: Difference) -> str | None:
    """A machine that is elsewhere claims there what it has, if it has claimed nothing there yet."""
    server_id = difference.number_of("server")
    machine_id = difference.number_of("machine") if " machine " in difference.key else None
    guest_id = difference.number_of("guest") if " guest " in difference.key else None
    servers = {server_id} | await mend_store.servers_of(db, machine_id=machine_id, guest_id=guest_id)
    there_id = await mend_store.server_of_machine(db, machine_id) if machine_id is not None else None
    servers |= {there_id} if there_id is not None else set()
    await mend_store.lock_servers(db, servers)
    again = difference.again(ledger.of_claim(one) for one in await look_store.loose_claims(db, server_id))
    if again is None:
        return None
    await mend_store.drop_claims(db, server_id, machine_id=machine_id, guest_id=guest_id)
    done = f"{again.found}: they were removed"
    if machine_id is not None and there_id is not None and not await _claims_on(db, machine_id, there_id):
        await _hold(db, machine_id, there_id)
        done = f"{again.found}: it claims what it has where it is"
    await mend_store.retotal_all(db, servers)
    return done


async def write_claims_anew(db: Db, difference: Difference) -> str | None:
    if difference.key.startswith("guest "):
        return await _write_of_guest(db, difference)
    machine_id = difference.number_of("machine")
    there_id = await mend_store.server_of_machine(db, machine_id)
    if there_id is None:
        return None
    servers = {there_id} | await mend_store.servers_of(db, machine_id=machine_id)
    await mend_store.lock_servers(db, servers)
    await mend_store.lock_machine(db, machine_id)
    again = await still.of_machine(db, difference)
    if again is None or await mend_store.server_of_machine(db, machine_id) != there_id:
        return None  # or it was moved while we waited for the lock: the next sweep sees it where it is
    await _hold(db, machine_id, there_id)
    await mend_store.retotal_all(db, servers)
    return f"{again.found}: now {again.expected}"


async def _write_of_guest(db: Db, difference: Difference) -> str | None:
    """As a look would that finds the guest as it was found before."""
    guest_id = difference.number_of("guest")
    server_id = await mend_store.lock_guest(db, guest_id)
    again = difference.again(guests.judge_claims(one) for one in await look_store.guest_claims(db, guest_id))
    if again is None or server_id is None:
        return None
    row = (await rows_of(db, [guest_id]))[guest_id]
    await write_held(db, server_id, [(row, await held_by(db, server_id, row, row.key))])
    await retotal(db, server_id)
    return f"{again.found}: now {again.expected}"


async def remove_address(db: Db, difference: Difference) -> str | None:
    address_id = difference.number_of("address")
    await mend_store.lock_address(db, address_id)
    found = await look_store.loose_addresses(db, address_id)
    if difference.again(ledger.of_address(one) for one in found) is None:
        return None
    await mend_store.drop_address(db, address_id)
    return f"{difference.name} was claimed for a machine or card that is gone; it is free"


async def _claims_on(db: Db, machine_id: int, server_id: int) -> bool:
    return server_id in await mend_store.servers_of(db, machine_id=machine_id)


async def _hold(db: Db, machine_id: int, server_id: int) -> None:
    """In place of whatever it claims anywhere. Totals are made by the caller."""
    has = await mend_store.what_it_has(db, machine_id, server_id)
    held = await held_by(db, server_id, has.row, machine_id, huge_page_size_kib=has.huge_page_size_kib)
    held = evolve(held, storage_bytes=has.storage_bytes)
    await claims.hold(db, server_id=server_id, machine_id=machine_id, held=held)
