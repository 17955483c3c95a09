"""Rows of hosts: add, change, lock and delete them, and read what a rack needs to connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from attrs import asdict, frozen

from common.errors import InvalidRequest, NotFound
from common.hosts.host_settings import SETTINGS, HostSettings
from common.values import DriverType
from common.words.hidden_text import hidden
from regiond.credentials import key_pair_store
from regiond.db.pool import Db
from regiond.hosts.error_details import NO_DETAILS, PRODUCT, ErrorDetails, Secret, to_column
from regiond.hosts.host_names import is_name_taken, name_taken
from regiond.ledger import store as ledger_store
from regiond.requests.identifiers import storable
from regiond.requests.validation_messages import no_object

_SETTINGS = ", ".join(SETTINGS)
_INSERT = f"""
    insert into vm_host (name, driver, address, project, zone_id, pool_id, tags, system_id, public_key, machine_id,
                         {_SETTINGS})
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, {_SETTINGS}
      from jsonb_populate_record(null::vm_host, $11::jsonb) as given
    returning id
"""  # noqa: S608  # the names of our own attributes
_SCHEDULE = "insert into vm_host_schedule (host_id, next_refresh_at) values ($1, now() + interval '1 minute')"
_SAME_HOST = "select id, name from vm_host where driver = $1 and address = $2 and project = $3"
_OF_SIMULATED = """
    select id, name from vm_host
     where driver = 'simulated' and id is distinct from $2 and split_part(split_part(address, ':', 2), '?', 1) = $1
     order by id limit 1
"""
_LOCK_SIMULATED = "select pg_advisory_xact_lock(hashtextextended('simulated:' || $1, 0))"
_HOST_ON_MACHINE = "select name from vm_host where machine_id = $1"
_SAME_ADDRESS = """
    select other.id, other.name
      from vm_host h join vm_host other on other.driver = h.driver and other.project = h.project
     where h.id = $1 and other.address = $2
"""
# The servers come first: a transaction that inserts a machine, or moves one to the host, holds the lock of the server
# and reads the zone of the host. The machines are locked as such before they are read: a transaction that chooses the
# zone of one reads that of its host.
_LOCK_SERVERS = """
    select from server where id in (select server_id from vm_host where id = any($1::integer[]))
     order by id for no key update
"""
_SET_ZONE = "update vm_host set zone_id = $2 where id = any($1::integer[]) and zone_id <> $2"
_LOCK_MACHINES = "select from machine where host_id = any($1::integer[]) order by id for no key update"
_MOVE_MACHINES = """
    update machine set zone_id = $2 where host_id = any($1::integer[]) and zone_id <> $2 and not zone_chosen
"""
_UPDATE = f"""
    update vm_host h
       set name = coalesce($2, name), address = coalesce($3, address),
           pool_id = coalesce($4, pool_id), tags = coalesce($5, tags),
           default_storage_pool_id = coalesce($6, default_storage_pool_id),
           ({_SETTINGS}) = (select {_SETTINGS} from jsonb_populate_record(h, $7::jsonb) as given)
     where id = $1
"""  # noqa: S608  # the names of our own attributes
_POOL_OF_HOST = """
    select p.id from storage_pool p join vm_host h on h.server_id = p.server_id
     where h.id = $1 and p.missing_since is null and (p.pool_key = $2 or p.name = $2)
     order by p.pool_key <> $2 limit 1
"""
_POOLS_OF_HOST = """
    select p.name from storage_pool p join vm_host h on h.server_id = p.server_id
     where h.id = $1 and p.missing_since is null order by p.name
"""
_ADD_TAG = "update vm_host set tags = array_append(tags, $2) where id = $1 and not ($2 = any(tags))"
_REMOVE_TAG = "update vm_host set tags = array_remove(tags, $2) where id = $1 and $2 = any(tags)"
_SET_UNREACHABLE = """
    update vm_host set state = case when state = 'ready' then 'unreachable' else state end, error_code = $2,
                       error_message = $3, error_details = $4
     where id = $1 and (state = 'ready' or (error_code, error_message, error_details) is distinct from ($2, $3, $4))
"""
_SET_REMOVING = "update vm_host set state = 'removing' where id = $1"
_REOPEN = """
    update vm_host set state = case when server_id is null then 'pending' else 'unreachable' end
     where id = $1 and state = 'removing'
       and not exists (select from operation o
                        where o.host_id = $1 and o.kind = 'remove_host' and o.is_open and o.id is distinct from $2)
"""
_LOCK_EXISTENCE = "select 1 from vm_host where id = $1 for key share"
_LOCK_STATE = "select 1 from vm_host where id = $1 for no key update"
_LOCK = "select server_id from vm_host where id = $1 for update"
_REFRESH_SERVER_NOW = """
    update vm_host_schedule set next_refresh_at = now()
     where host_id in (select id from vm_host where server_id = $1)
"""
_DELETE = "delete from vm_host where id = $1"
_CONNECTION = f"""
    select h.driver, h.address, h.project, h.member, h.pinned, h.pinned_fingerprint, h.system_id, h.name, h.state,
           h.error_code, h.trust_error, h.rejected_secret, h.server_id is not null as discovered,
           h.created_at > now() - interval '1 hour' as is_new,
           h.expected_fingerprint, h.trust_on_first_use,
           h.server_id is not null
           or exists (select from vm_host o
                       where o.pinned_fingerprint = h.pinned_fingerprint and o.server_id is not null) as known_server,
           exists (select from secret s where s.host_id = h.id and s.name = 'password') as has_password,
           exists (select from secret s where s.host_id = h.id) as has_secrets,
           {PRODUCT} as product
      from vm_host h left join server s on s.id = h.server_id where h.id = $1
"""  # noqa: S608  # our own text
_SET_TRUST_ERROR = """
    update vm_host set trust_error = $2, rejected_secret = $3
     where id = $1 and (trust_error, rejected_secret) is distinct from ($2, $3)
"""


@frozen(kw_only=True)
class HostConnection:
    """The values with which a rack connects to a host, without secrets, and the state of that connection."""

    driver: DriverType
    address: str
    project: str
    member: str | None
    pinned: str | None
    pinned_fingerprint: str | None
    system_id: str
    name: str
    state: str
    error_code: str | None
    trust_error: str | None
    rejected_secret: str | None  # which one `trust_error` is about
    discovered: bool  # at least once
    is_new: bool  # added within the last hour
    expected_fingerprint: str | None
    trust_on_first_use: bool
    known_server: bool  # this or another host of the server was discovered
    has_password: bool  # a trust token or password that is still to be used
    has_secrets: bool  # of its own, apart from the key pair of its server
    product: str  # LXD or Incus; empty if the driver says it all, or nothing is known yet

    @property
    def may_have_password(self) -> bool:
        """Returns whether a trust password may be sent to the pinned server."""
        confirmed = self.pinned_fingerprint is not None and self.pinned_fingerprint == self.expected_fingerprint
        return confirmed or self.known_server or self.trust_on_first_use


async def read_connection(db: Db, host_id: int) -> HostConnection:
    """Returns the connection of the host. Raises NotFound."""
    row = await db.fetchrow(_CONNECTION, host_id)
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return HostConnection(**{**dict(row), "driver": DriverType(row["driver"])})


async def insert(
    db: Db,
    *,
    names: Sequence[str],
    driver: DriverType,
    address: str,
    project: str,
    zone_id: int,
    pool_id: int,
    tags: Sequence[str],
    system_id: str,
    public_key: str | None,
    machine_id: int | None,
    settings: Mapping[str, Any],
) -> tuple[int, str]:
    """Adds a host with the first of `names` that no other host has. Returns its id and name.

    `settings` has columns of HostSettings; the others have their defaults.

    Raises InvalidRequest if a host with this driver, address and project exists, or if all of `names` are taken.
    """
    for name in names:
        try:
            async with db.transaction():
                host_id: int = await db.fetchval(
                    _INSERT, name, driver.value, address, project, zone_id, pool_id, list(tags), system_id, public_key,
                    machine_id, {**asdict(HostSettings()), **settings},
                )  # fmt: skip
                await db.execute(_SCHEDULE, host_id)
                return host_id, name
        except asyncpg.UniqueViolationError as error:
            same_host = await db.fetchrow(_SAME_HOST, driver.value, address, project)
            if name == names[-1] or same_host is not None or not is_name_taken(error):
                raise await _taken(db, error, same_host, name, address) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise _group_removed(error) from error
    raise ValueError("a host needs at least one name")


def _group_removed(error: asyncpg.ForeignKeyViolationError) -> InvalidRequest:
    return InvalidRequest(f"The zone or resource pool was removed while this request ran: {error.detail}")


async def require_no_host_of(db: Db, simulated: str, host_id: int | None) -> None:
    """Raises InvalidRequest if another host than this is the simulated server of the name. Its guests are one file."""
    await db.execute(_LOCK_SIMULATED, simulated)
    other = await db.fetchrow(_OF_SIMULATED, simulated, host_id)
    if other is not None:
        raise InvalidRequest(
            f"Host {other['name']!r} (id {other['id']}) already uses simulated:{simulated}. Choose another name in the "
            "address, or add shared=1 to it for a further host of the same server."
        )


async def host_on_machine(db: Db, machine_id: int) -> str | None:
    """Returns the name of the host that runs on the machine; None if it is no VM host."""
    name: str | None = await db.fetchval(_HOST_ON_MACHINE, machine_id)
    return name


async def _taken(
    db: Db, error: asyncpg.UniqueViolationError, same_host: asyncpg.Record | None, name: str, address: str
) -> InvalidRequest:
    """Returns the error, which names the other host. If one has the address and one the name, the address counts."""
    if same_host is None and is_name_taken(error):
        return await name_taken(db, name)
    which = "Another host" if same_host is None else f"Host {same_host['name']!r} (id {same_host['id']})"
    return InvalidRequest(f"{which} already uses {address}")


async def update(
    db: Db,
    host_id: int,
    *,
    name: str | None,
    address: str | None,
    zone_id: int | None,
    pool_id: int | None,
    tags: Sequence[str] | None,
    default_storage_pool_id: int | None,
    settings: Mapping[str, Any],
) -> None:
    """Changes the columns, of HostSettings those in `settings`; None leaves another one unchanged.

    Raises the errors of `insert`.
    """
    try:
        async with db.transaction():
            if zone_id is not None:
                await move_to_zone(db, [host_id], zone_id)
            await db.execute(
                _UPDATE, host_id, name, address, pool_id, None if tags is None else list(tags),
                default_storage_pool_id, settings,
            )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        same_host = await db.fetchrow(_SAME_ADDRESS, host_id, address)
        raise await _taken(db, error, same_host, name or "", address or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _group_removed(error) from error


async def move_to_zone(db: Db, host_ids: Sequence[int], zone_id: int) -> None:
    """Moves the hosts to the zone, and with them their machines for which no other zone was chosen. Idempotent.

    Locks servers, hosts and machines, in this order.
    """
    await db.execute(_LOCK_SERVERS, host_ids)
    if await db.execute(_SET_ZONE, host_ids, zone_id) != "UPDATE 0":
        await db.execute(_LOCK_MACHINES, host_ids)
        await db.execute(_MOVE_MACHINES, host_ids, zone_id)


async def storage_pool_id(db: Db, host_id: int, key_or_name: str | None) -> int | None:
    """Returns the row id of the pool; None for None. Raises InvalidRequest if the host's server has no such pool."""
    if key_or_name is None:
        return None
    found: int | None = await db.fetchval(_POOL_OF_HOST, host_id, key_or_name)
    if found is None:
        known = [row["name"] for row in await db.fetch(_POOLS_OF_HOST, host_id)]
        message = no_object("storage pool", key_or_name, known) if known else "The storage pools are not known yet."
        raise InvalidRequest.of({"default_storage_pool": [message]})
    return found


async def add_tag(db: Db, host_id: int, tag: str) -> None:
    """Adds the tag to the host. Idempotent."""
    await db.execute(_ADD_TAG, host_id, tag)


async def remove_tag(db: Db, host_id: int, tag: str) -> None:
    """Removes the tag from the host. Idempotent."""
    await db.execute(_REMOVE_TAG, host_id, tag)


async def set_trust_error(db: Db, host_id: int, reason: str | None, secret: Secret | None) -> None:
    """Stores the reason why the host rejected the token or password, and which it was; None clears both."""
    await db.execute(_SET_TRUST_ERROR, host_id, reason, secret)


async def set_unreachable(db: Db, host_id: int, code: str, message: str, details: ErrorDetails = NO_DETAILS) -> None:
    """Makes the host unreachable, with the error, which only administrators read.

    Writes no row if the host already has this error.
    """
    await db.execute(_SET_UNREACHABLE, host_id, code, hidden(storable(message)), to_column(details))


async def set_removing(db: Db, host_id: int) -> None:
    """Sets the state `removing`: from now on no machine is composed on the host."""
    await db.execute(_SET_REMOVING, host_id)


async def reopen_host(db: Db, host_id: int, operation_id: int | None = None) -> None:
    """Ends the state `removing`; the next refresh finds the actual state. Idempotent.

    Changes nothing if an operation other than the given one removes the host.
    """
    await db.execute(_REOPEN, host_id, operation_id)


async def lock_existence(db: Db, host_id: int) -> None:
    """Prevents the removal of the host until the transaction ends."""
    await db.execute(_LOCK_EXISTENCE, host_id)


async def lock_state(db: Db, host_id: int) -> None:
    """Prevents other transactions from changing the host's state until this one ends."""
    await db.execute(_LOCK_STATE, host_id)


async def lock(db: Db, host_id: int) -> None:
    """Prevents other transactions from adding a machine or applying a discovery run to the host until this one ends."""
    await db.execute(_LOCK, host_id)


async def delete(db: Db, host_id: int) -> None:
    """Deletes the host, and its server with all claims of foreign guests unless another host shares it.

    A host that shares the server is refreshed at once: to it, guests that were machines of the deleted host are
    foreign.
    """
    server_id = await db.fetchval(_LOCK, host_id)
    pair_id = await key_pair_store.key_pair_of_host(db, host_id)
    await db.execute(_DELETE, host_id)
    if pair_id is not None:
        await key_pair_store.drop_unused_key_pair(db, pair_id)
    if server_id is not None:
        await ledger_store.drop_server(db, server_id)
        await db.execute(_REFRESH_SERVER_NOW, server_id)
