"""What the parts of the networks room have in common: how they change what there is, and how they find it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import asyncpg

from common.errors import Busy, InvalidRequest, NotFound
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.field_words import REQUIRED
from regiond.networks import store
from regiond.networks.model import Address, Fabric, Space, Subnet, Vlan

if TYPE_CHECKING:
    from regiond.db.pool import Db

LONGEST_NAME = 256
_NAME = re.compile(r"\w[\w -]*")
# Taken before networks are made, changed or deleted, so that no two make the same one and none goes while another
# points at it. Looks at hosts that find nothing new take no lock.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('networks', 0))"
# Shorter than PostgreSQL's search for deadlocks: a compose may hold a subnet and wait for a server, whose look waits
# for us. We are the one that can be asked again.
_WAIT_BRIEFLY = "set local lock_timeout = '500ms'"


class Room:
    """`changing` is a transaction of an administrator who alone changes networks for as long as it lasts.

    It raises Busy, with nothing changed, when others hold what it changes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def changing(self, caller: Caller) -> AsyncIterator[Db]:
        caller.require_admin()
        async with self._database.transaction() as db:
            await lock(db)
            await db.execute(_WAIT_BRIEFLY)
            try:
                yield db
            except asyncpg.LockNotAvailableError as error:
                raise Busy("A machine is being composed on what this changes; try again in a second.") from error


async def lock(db: Db) -> None:
    """Until the transaction ends."""
    await db.execute(_LOCK)


async def find_fabric(db: Db, id_or_name: str) -> Fabric:
    """Raises NotFound."""
    found = await store.fabric_id(db, askable(id_or_name))
    if found is None:
        raise NotFound(f"There is no fabric {id_or_name!r}.")
    return (await store.fabrics(db, [found]))[0]


async def find_vlan(db: Db, vlan_id: int) -> Vlan:
    """Raises NotFound."""
    found = await store.vlans(db, ids=[vlan_id])
    if not found:
        raise NotFound(f"There is no VLAN with id {vlan_id}.")
    return found[0]


async def find_subnet(db: Db, id_or_name: str) -> Subnet:
    """Raises NotFound, and InvalidRequest for a name that several subnets have."""
    found = await store.subnet_ids(db, askable(id_or_name))
    if not found:
        raise NotFound(f"There is no subnet {id_or_name!r}.")
    if len(found) > 1:
        ids = ", ".join(map(str, found))
        raise InvalidRequest(f"{len(found)} subnets are called {id_or_name!r}: say which by its id ({ids}) or CIDR.")
    return (await store.subnets(db, ids=found))[0]


async def find_space(db: Db, id_or_name: str) -> Space:
    """Raises NotFound."""
    found = await store.space_id(db, askable(id_or_name))
    if found is None:
        raise NotFound(f"There is no space {id_or_name!r}.")
    return (await store.spaces(db, [found]))[0]


def askable(name: str) -> str:
    """PostgreSQL's text cannot hold NUL; nothing has such a name, so any name that is none will do."""
    return name.replace("\0", "\ufffd")


def check_text(*, free_name: bool = False, **texts: str | None) -> None:
    """Raises InvalidRequest that says everything wrong with these fields; None was not given.

    `name` has 1 to 256 characters: a letter, digit or underscore first, then also blanks and hyphens, unless it is a
    `free_name`, which may have any that can be printed.
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
    if len(name) > LONGEST_NAME:
        return f"At most {LONGEST_NAME} characters are allowed, not {len(name)}."
    if free:
        return None if name.isprintable() else "Only printable characters are allowed."
    if not _NAME.fullmatch(name):
        return "Start with a letter, digit or underscore; then also blanks and hyphens are allowed, and nothing else."
    return None


def _wrong_text(text: str) -> str | None:
    return "The NUL character is not allowed." if "\0" in text else None


def checked_address(field: str, text: str) -> Address:
    """Raises InvalidRequest under `field`, also for an address with a zone."""
    try:
        address = ip_address(text.strip())
    except ValueError as error:
        raise InvalidRequest.of({field: [f"{text!r} is no IP address."]}) from error
    if getattr(address, "scope_id", None):
        raise InvalidRequest.of({field: [f"{text!r} has a zone, which is only known on one host."]})
    return address


@contextmanager
def unique(field: str, message: str) -> Iterator[None]:
    """A duplicate in the database becomes InvalidRequest of that field."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({field: [message]}) from error
