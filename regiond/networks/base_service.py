"""The base class of the network services: change lock, lookups, checks of names and addresses."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import asyncpg

from common.errors import Busy, InvalidRequest, NotFound
from regiond.caller import Caller
from regiond.db.pool import Database, Db
from regiond.networks import store
from regiond.networks.model import Address, Fabric, Space, Subnet, Vlan
from regiond.validation_messages import REQUIRED, no_object

MAX_NAME_LENGTH = 256
_NAME = re.compile(r"\w[\w -]*")
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
    found = await store.fabric_id(db, without_nul(id_or_name))
    if found is None:
        raise NotFound(no_object("fabric", id_or_name))
    return (await store.fabrics(db, [found]))[0]


async def find_vlan(db: Db, vlan_id: int) -> Vlan:
    """Raises NotFound."""
    found = await store.vlans(db, ids=[vlan_id])
    if not found:
        raise NotFound(f"There is no VLAN {vlan_id}.")
    return found[0]


async def find_subnet(db: Db, id_or_name: str) -> Subnet:
    """Finds by id, CIDR or name. Raises NotFound, and InvalidRequest for a name that several subnets have."""
    found = await store.subnet_ids(db, without_nul(id_or_name))
    if not found:
        raise NotFound(no_object("subnet", id_or_name))
    if len(found) > 1:
        known = await store.subnets(db, ids=found)
        ids = first_names([f"{subnet.id} ({subnet.cidr})" for subnet in known])
        raise InvalidRequest(f"{len(found)} subnets are named {id_or_name!r}: use the id or CIDR: {ids}.")
    return (await store.subnets(db, ids=found))[0]


async def find_space(db: Db, id_or_name: str) -> Space:
    """Raises NotFound."""
    found = await store.space_id(db, without_nul(id_or_name))
    if found is None:
        raise NotFound(no_object("space", id_or_name))
    return (await store.spaces(db, [found]))[0]


def without_nul(name: str) -> str:
    """PostgreSQL rejects NUL in a text. No object has the replacement character in its name, so none is found."""
    return name.replace("\0", "\ufffd")


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
    if len(name) > MAX_NAME_LENGTH:
        return f"At most {MAX_NAME_LENGTH} characters are allowed, not {len(name)}."
    if free:
        return None if name.isprintable() else "Only printable characters are allowed."
    if not _NAME.fullmatch(name):
        return "Start with a letter, digit or underscore. After that, blanks and hyphens are allowed too."
    return None


def _wrong_text(text: str) -> str | None:
    return "The NUL character is not allowed." if "\0" in text else None


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


@contextmanager
def unique(field: str, message: str) -> Iterator[None]:
    """Raises InvalidRequest under `field` if the database finds a duplicate."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({field: [message]}) from error
