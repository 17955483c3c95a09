"""The base class of the network services: change lock, lookups, checks of names and addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import asyncpg

from common.errors import Busy, InvalidRequest
from regiond.db.pool import Database, Db
from regiond.networks import store
from regiond.networks.model import Address, Fabric, Space, Subnet, Vlan
from regiond.requests.caller import Caller
from regiond.requests.identifiers import MAX_NAME, NUL_NOT_ALLOWED, findable, is_name
from regiond.requests.validation_messages import REQUIRED, existing

# One lock for all networks, so that no two transactions create the same one, and none deletes what another refers to.
# Discovery runs that find nothing new do not take it.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('networks', 0))"
# Shorter than PostgreSQL's deadlock_timeout: a compose may hold a subnet and wait for a server whose discovery run
# waits for this lock. The user can repeat this request, so this transaction gives way.
_LOCK_TIMEOUT = "set local lock_timeout = '500ms'"


class BaseService:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def changing(self, caller: Caller, *, dry_run: bool = False) -> AsyncIterator[Db]:
        """A transaction of an administrator, which holds the lock for changes of networks; a dry run is rolled back.

        Raises Busy, with nothing changed, if another transaction locks what this one changes.
        """
        caller.require_admin()
        async with self._database.transaction(dry_run=dry_run) as db:
            await lock_networks(db)
            await db.execute(_LOCK_TIMEOUT)
            try:
                yield db
            except asyncpg.LockNotAvailableError as error:
                raise Busy("A machine is being composed on this network. Try again in a second.") from error


async def lock_networks(db: Db) -> None:
    """Until the transaction ends, no other transaction changes networks."""
    await db.execute(_LOCK)


async def find_fabric(db: Db, id_or_name: str) -> Fabric:
    """Raises NotFound."""
    fabric_id = existing(await store.fabric_id(db, findable(id_or_name)), "fabric", id_or_name)
    return (await store.fabrics(db, [fabric_id]))[0]


async def find_vlan(db: Db, vlan_id: int) -> Vlan:
    """Raises NotFound."""
    return existing(next(iter(await store.vlans(db, ids=[vlan_id])), None), "VLAN", vlan_id)


async def find_subnet(db: Db, id_or_name: str) -> Subnet:
    """Finds by id, CIDR or name. Raises NotFound, and InvalidRequest for a name that several subnets have."""
    known = await store.subnets(db, ids=await store.subnet_ids(db, findable(id_or_name)))
    if len(known) > 1:
        ids = first_names([f"{subnet.id} ({subnet.cidr})" for subnet in known])
        raise InvalidRequest(f"{len(known)} subnets are named {id_or_name!r}: use the id or CIDR: {ids}.")
    return existing(next(iter(known), None), "subnet", id_or_name)


async def find_space(db: Db, id_or_name: str) -> Space:
    """Raises NotFound."""
    space_id = existing(await store.space_id(db, findable(id_or_name)), "space", id_or_name)
    return (await store.spaces(db, [space_id]))[0]


def check_text(*, free_name: bool = False, **texts: str | None) -> None:
    """Raises InvalidRequest with a message for each wrong field. None: the field was not given.

    A `name` has 1 to 256 characters: a letter, digit or underscore, then also blanks and hyphens. A `free_name` may
    have any printable characters.
    """
    wrong: dict[str, list[str]] = {}
    for name, text in texts.items():
        message = None if text is None else (_wrong_name(text, free_name) if name == "name" else _wrong_text(text))
        if message:
            wrong[name] = [message]
    if wrong:
        raise InvalidRequest.of(wrong)


def _wrong_name(name: str, free: bool) -> str | None:
    if not name:
        return REQUIRED
    if len(name) > MAX_NAME:
        return f"At most {MAX_NAME} characters are allowed, not {len(name)}."
    if free:
        return None if name.isprintable() else "Only printable characters are allowed."
    if not is_name(name):
        return "Start with a letter, digit or underscore. After that, blanks and hyphens are allowed too."
    return None


def _wrong_text(text: str) -> str | None:
    return NUL_NOT_ALLOWED if "\0" in text else None


def first_names(names: Sequence[str]) -> str:
    """The first five, for messages."""
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def checked_address(field: str, text: str) -> Address:
    """Raises InvalidRequest under `field`, also for an address with a zone."""
    try:
        address = ip_address(text.strip())
    except ValueError as error:
        raise InvalidRequest.of({field: [f"{text!r} is not an IP address."]}) from error
    if getattr(address, "scope_id", None):
        raise InvalidRequest.of({field: [f"{text!r} has a zone, which means something only on one host."]})
    return address
