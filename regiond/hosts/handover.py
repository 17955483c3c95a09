"""Guests that change hands: those that a host has, and what is written when one becomes a machine, or foreign again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from attrs import evolve, frozen

from common.errors import NotFound
from common.values import Guest
from regiond.hosts import intake_store, store
from regiond.hosts.known import GuestRow, row_of

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A host sees its server through one project of LXD; elsewhere there are none.
_OF_HOST = """
    select g.id from guest g join vm_host h on h.server_id = g.server_id
     where h.id = $1 and (h.driver <> 'lxd' or g.project = h.project)
     order by g.id for no key update of g
"""
_SERVER = "select server_id from vm_host where id = $1"
_UNMARKED = """
    update guest set marked_installation = null, marked_machine = null where id = $1 and machine_id is null
"""
_SHARED = """
    select exists (select from vm_host h join vm_host other on other.server_id = h.server_id and other.id <> h.id
                    where h.id = $1)
"""


@frozen(kw_only=True)
class HostGuest:
    """A guest of a host and the id of its row, which is the id of the virtual machine in the API."""

    id: int
    row: GuestRow


async def guests_of(db: Db, host_id: int) -> tuple[HostGuest, ...]:
    """All guests that the host sees, by id; nobody else changes them, nor removes the host, until the caller's
    transaction ends."""
    await store.keep(db, host_id)
    ids = [row["id"] for row in await db.fetch(_OF_HOST, host_id)]
    return tuple(HostGuest(id=id_, row=row) for id_, row in (await intake_store.rows_of(db, ids)).items())


async def is_shared(db: Db, host_id: int) -> bool:
    """Whether another host is on the same server."""
    return await db.fetchval(_SHARED, host_id) is True


async def take_over(db: Db, host_id: int, guest: Guest, machine_id: int) -> None:
    """The guest, as the host has just told it, is that machine from now on, and its claims are the machine's."""
    server_id = await db.fetchval(_SERVER, host_id)
    if server_id is None:
        raise NotFound(f"VM host {host_id} has no server any more.", host=host_id)
    await intake_store.take_over(db, server_id, row_of(guest, machine_id), machine_id)


async def take_back(db: Db, host_id: int, guest_id: int, machine_id: int, installation_id: UUID, machine: UUID) -> None:
    """A guest that was found on the host is the machine that it was before, with the claims that it holds."""
    server_id = await db.fetchval(_SERVER, host_id)
    row = (await intake_store.rows_of(db, [guest_id]))[guest_id]
    marked = evolve(row, marked_installation=installation_id, marked_machine=machine)
    await intake_store.take_over(db, server_id, marked, machine_id)


async def let_go(db: Db, machine_id: int, *, marked: bool = True) -> None:
    """The guest of the machine, if it has one, is foreign from now on and holds for itself what it takes."""
    await intake_store.let_go(db, machine_id, marked=marked)


async def unmarked(db: Db, guest_id: int) -> None:
    """Our mark was taken off this guest, as the next look will find."""
    await db.execute(_UNMARKED, guest_id)
