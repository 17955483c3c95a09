"""Rows of servers by their identity, and of the host that claims one."""

from __future__ import annotations

from attrs import frozen

from common.errors import NotFound
from common.values import DriverType, HostFacts
from regiond.db.pool import Db, of_row
from regiond.hosts.address.server_identity import Contact
from regiond.hosts.discovery.store import server_columns

_LOCK_IDENTITY = "select pg_advisory_xact_lock(hashtextextended('server identity ' || $1, 0))"
_HOST = """
    select h.id, h.name, h.driver, h.address, h.pinned_fingerprint, h.confirmed_identity, h.server_may_change,
           s.id as server_id, s.identity
      from vm_host h left join server s on s.id = h.server_id where h.id = $1
"""
_FIND = "select id from server where identity = $1"
_ADD = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib, cpu_speed_mhz, emulated,
                        numa_nodes, network_devices, gpus, huge_memory_mib, uefi_firmware, product)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    returning id
"""
_RENAME = "update server set identity = $2 where id = $1"
_OTHER_HOSTS = "select id, name, pinned_fingerprint from vm_host where server_id = $1 and id <> $2 order by id"
_SET = """
    update vm_host set server_id = $2, server_may_change = false
     where id = $1 and (server_id is distinct from $2 or server_may_change)
"""


@frozen(kw_only=True)
class KnownHost:
    """A host and its current server; `server_id` and `identity` are None before the first successful discovery run."""

    name: str
    contact: Contact
    confirmed_identity: str | None
    server_may_change: bool
    server_id: int | None
    identity: str | None


@frozen(kw_only=True)
class OtherHost:
    """Another host of a server."""

    id: int
    name: str
    pinned_fingerprint: str | None


async def read_known_host(db: Db, host_id: int) -> KnownHost:
    """Returns the host with its current server. Raises NotFound."""
    row = await db.fetchrow(_HOST, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    contact = Contact(
        host_id=row["id"],
        driver=DriverType(row["driver"]),
        address=row["address"],
        pinned_fingerprint=row["pinned_fingerprint"],
    )
    return of_row(KnownHost, row, contact=contact)


async def lock_identity(db: Db, identity: str) -> None:
    """Prevents other transactions from adding or joining the server with this identity until this one ends."""
    await db.execute(_LOCK_IDENTITY, identity)


async def find_server(db: Db, identity: str) -> int | None:
    """Returns the id of the server with this identity; None if there is none."""
    found: int | None = await db.fetchval(_FIND, identity)
    return found


async def add_server(db: Db, identity: str, facts: HostFacts) -> int:
    """Returns the new server's id. Requires the identity's lock, and that no server has it."""
    added: int = await db.fetchval(_ADD, identity, *server_columns(facts))
    return added


async def rename_server(db: Db, server_id: int, identity: str) -> None:
    """Changes the identity of the server. Requires the lock of the new identity, and that no server has it."""
    await db.execute(_RENAME, server_id, identity)


async def other_hosts(db: Db, server_id: int, host_id: int) -> tuple[OtherHost, ...]:
    """Returns the server's hosts except this one, by id."""
    return tuple(OtherHost(**row) for row in await db.fetch(_OTHER_HOSTS, server_id, host_id))


async def set_server(db: Db, host_id: int, server_id: int) -> None:
    """Stores the host with this server. Idempotent."""
    await db.execute(_SET, host_id, server_id)
