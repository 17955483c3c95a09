"""SQL of machines that are being composed: the rows of machines, disks and NICs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest, OutOfCapacity
from common.guests.guest_spec import GuestSpec
from regiond.db.pool import Db
from regiond.ledger.model import Demand
from regiond.machines.core.store import IdentifierTaken
from regiond.placement.model import DiskPlacement, NicAttachment

_NIC_IDS = "select id from machine_nic where machine_id = $1 order by index"
_TAKEN_HOSTNAMES = "select hostname from used_hostname where hostname = any($1::text[])"
# The zone of the host is read here, while the caller holds the lock of its server: see `hosts.store.move_to_zone`.
_INSERT = """
    with inserted as (
        insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, zone_chosen, state, architecture,
                             cores, memory_mib, tags, description, pinned_core_ids, huge_page_size_kib, composed_by_id,
                             owner_id, agent_name, composed_by_allocate, is_stock, max_cores, max_memory_mib)
        select m.uuid, m.system_id, m.hostname, m.host_id, m.pool_id, coalesce(m.chosen_zone_id, h.zone_id),
               coalesce(m.chosen_zone_id <> h.zone_id, false), 'composing', m.architecture, m.cores, m.memory_mib,
               m.tags, m.description, m.pinned_core_ids, m.huge_page_size_kib, m.composed_by_id,
               m.owner_id, coalesce(m.agent_name, ''), m.agent_name is not null, m.is_stock,
               m.max_cores, m.max_memory_mib
          from jsonb_to_recordset($1::jsonb) m (
               uuid uuid, system_id text, hostname text, host_id integer, pool_id integer, chosen_zone_id integer,
               architecture text, cores integer, memory_mib bigint, tags text[], description text,
               pinned_core_ids integer[], huge_page_size_kib bigint, composed_by_id integer,
               owner_id integer, agent_name text, is_stock boolean, max_cores integer, max_memory_mib bigint)
          join vm_host h on h.id = m.host_id
        returning id, uuid
    ), disks as (
        insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags, label)
        select inserted.id, d.index, d.volume, d.storage_pool_id, d.size_bytes, d.serial, d.tags, d.label
          from jsonb_to_recordset($2::jsonb) d (machine uuid, index integer, volume text, storage_pool_id integer,
                                                size_bytes bigint, serial text, tags text[], label text)
          join inserted on inserted.uuid = d.machine
    ), nics as (
        insert into machine_nic (machine_id, index, name, mac_address, kind, source, vid, mode, label, interface_id,
                                 vlan_id, subnet_id)
        select inserted.id, n.index, n.name, n.mac_address, n.kind, n.source, n.vid, n.mode, n.label, n.interface_id,
               n.vlan_id, n.subnet_id
          from jsonb_to_recordset($3::jsonb) n (machine uuid, index integer, name text, mac_address text, kind text,
                                                source text, vid integer, mode text, label text, interface_id integer,
                                                vlan_id integer, subnet_id integer)
          join inserted on inserted.uuid = n.machine
    ), claims as (
        insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
        select c.server_id, inserted.id, c.resource, c.storage_pool_id, c.amount
          from jsonb_to_recordset($4::jsonb) c (machine uuid, server_id integer, resource text,
                                                storage_pool_id integer, amount bigint)
          join inserted on inserted.uuid = c.machine
    )
    select id, uuid from inserted
"""
# Tags that a user added to the machine meanwhile stay; the tags of the previous host are removed.
_REWRITE = """
    with rewritten as (
        update machine set uuid = $2, host_id = new.id, pool_id = coalesce($4, machine.pool_id),
                           zone_id = case when zone_chosen or $13 then machine.zone_id else new.zone_id end,
                           zone_chosen = zone_chosen or ($13 and machine.zone_id <> new.zone_id),
                           architecture = $5, cores = $6, memory_mib = $7, pinned_core_ids = $9,
                           huge_page_size_kib = $10,
                           tags = $8::text[] || array(
                               select tag from unnest(machine.tags) as tag
                                where tag <> all($8)
                                  and tag not in (select unnest(h.tags) from vm_host h where h.id = machine.host_id))
          from vm_host new
         where machine.id = $1 and new.id = $3
        returning machine.id
    ), disks as (
        insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags, label)
        select rewritten.id, d.*
          from rewritten, jsonb_to_recordset($11::jsonb) d (index integer, volume text, storage_pool_id integer,
                                                        size_bytes bigint, serial text, tags text[], label text)
    )
    insert into machine_nic (machine_id, index, name, mac_address, kind, source, vid, mode, label, interface_id,
                             vlan_id, subnet_id)
    select rewritten.id, n.*
      from rewritten, jsonb_to_recordset($12::jsonb) n (index integer, name text, mac_address text, kind text,
                                                       source text,
                                                    vid integer, mode text, label text, interface_id integer,
                                                    vlan_id integer, subnet_id integer)
"""
_LOCK_ANNOUNCED = "select announced from machine where id = $1 for update"
# The machine gets a new UUID. The old one has a tombstone, so a guest that still appears under it is removed.
_FAIL = """
    update machine set uuid = gen_random_uuid(), host_id = null, failed_host_id = host_id, error_description = $2,
                       power_state = 'unknown', pinned_core_ids = '{}', huge_page_size_kib = null
     where id = $1
"""
_POOL_OF = "select pool_id from machine where id = $1"
_CLEAR_DEVICES = """
    with disks as (delete from machine_disk where machine_id = $1) delete from machine_nic where machine_id = $1
"""


@frozen(kw_only=True)
class NewMachine:
    """A machine to be inserted: `disks` has the place of each disk of `spec`, `nics` the attachments.

    `demand` is what it claims of the server, whose totals have been raised by it (`claim_batch`).
    `chosen_zone_id` is the zone that its request names; None: it is in that of its host. `is_stock`: it has no owner
    and is not started. `agent_name` is that of the allocation that composes it, whose release destroys it; None: there
    is none.
    """

    spec: GuestSpec
    system_id: str
    host_id: int
    server_id: int
    demand: Demand
    pool_id: int
    chosen_zone_id: int | None
    composed_by_id: int | None
    owner_id: int | None
    agent_name: str | None
    is_stock: bool
    tags: Sequence[str]
    disks: Sequence[DiskPlacement]
    nics: Sequence[NicAttachment]


async def insert_machines(db: Db, machines: Sequence[NewMachine]) -> Mapping[UUID, int]:
    """Inserts the machines with their disks, NICs and claims by one query; returns their row ids by UUID.

    The caller holds the locks of the servers (`lock_hosts`), so that no host changes its zone meanwhile.
    Raises IdentifierTaken, InvalidRequest if a host, zone or pool was deleted, and OutOfCapacity if a NIC's network
    was; the caller's transaction must then roll back.
    """
    devices = [(one.spec.marker.machine_id, _device_rows(one.spec, one.disks, one.nics)) for one in machines]
    disks = [{"machine": uuid, **disk} for uuid, (disks, _) in devices for disk in disks]
    nics = [{"machine": uuid, **nic} for uuid, (_, nics) in devices for nic in nics]
    try:
        claims = [row for one in machines for row in _claim_rows(one)]
        rows = await db.fetch(_INSERT, [_machine_row(one) for one in machines], disks, nics, claims)
    except asyncpg.UniqueViolationError as error:
        raise IdentifierTaken(error.constraint_name or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _deleted(error) from error
    return {row["uuid"]: row["id"] for row in rows}


async def pool_of_machine(db: Db, machine_id: int) -> int:
    pool_id: int = await db.fetchval(_POOL_OF, machine_id)
    return pool_id


async def rewrite_machine(
    db: Db,
    machine_id: int,
    spec: GuestSpec,
    *,
    host_id: int,
    pool_id: int | None,
    keeps_zone: bool,
    tags: Sequence[str],
    disks: Sequence[DiskPlacement],
    nics: Sequence[NicAttachment],
) -> None:
    """Replaces a machine without devices that is still being composed. No `pool_id` leaves the pool unchanged.

    With `keeps_zone` the machine stays in its zone, which its request names. The caller holds the lock of the host's
    server. Raises as `insert_machines`.
    """
    disk_rows, nic_rows = _device_rows(spec, disks, nics)
    try:
        await db.execute(
            _REWRITE, machine_id, spec.marker.machine_id, host_id, pool_id, spec.architecture, spec.cores,
            spec.memory_mib, list(tags), list(spec.pinned_core_ids), spec.huge_page_size_kib, disk_rows, nic_rows,
            keeps_zone,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise IdentifierTaken(error.constraint_name or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _deleted(error) from error


async def lock_announced(db: Db, machine_id: int) -> bool:
    """Returns whether a client knows of the machine, which does not change until the transaction ends."""
    return bool(await db.fetchval(_LOCK_ANNOUNCED, machine_id))


async def leave_host(db: Db, machine_id: int, reason: str) -> None:
    """Detaches a machine whose compose failed from its host, with the reason; it claims nothing and has no guest."""
    await db.execute(_FAIL, machine_id, reason)


async def clear_devices(db: Db, machine_id: int) -> None:
    """Deletes the machine's disks and NICs and thereby its addresses. Idempotent."""
    await db.execute(_CLEAR_DEVICES, machine_id)


def _machine_row(machine: NewMachine) -> Mapping[str, object]:
    spec = machine.spec
    return {
        "uuid": spec.marker.machine_id, "system_id": machine.system_id, "hostname": spec.name,
        "host_id": machine.host_id, "pool_id": machine.pool_id,
        "chosen_zone_id": machine.chosen_zone_id,
        "architecture": spec.architecture, "cores": spec.cores, "memory_mib": spec.memory_mib,
        "tags": list(machine.tags), "description": spec.description,
        "pinned_core_ids": list(spec.pinned_core_ids), "huge_page_size_kib": spec.huge_page_size_kib,
        "composed_by_id": machine.composed_by_id, "owner_id": machine.owner_id, "agent_name": machine.agent_name,
        "is_stock": machine.is_stock,
        "max_cores": spec.max_cores, "max_memory_mib": spec.max_memory_mib,
    }  # fmt: skip


def _claim_rows(machine: NewMachine) -> list[Mapping[str, object]]:
    return [
        {"machine": machine.spec.marker.machine_id, "server_id": machine.server_id, "resource": resource,
         "storage_pool_id": pool_id, "amount": amount}
        for resource, pool_id, amount in machine.demand.rows() if amount
    ]  # fmt: skip


def _device_rows(
    spec: GuestSpec, disks: Sequence[DiskPlacement], nics: Sequence[NicAttachment]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Returns the rows of the disks and the rows of the NICs."""
    disk_rows: list[dict[str, object]] = [
        {"index": index, "volume": disk.volume, "storage_pool_id": one.storage_pool_id, "size_bytes": disk.size_bytes,
         "serial": disk.serial, "tags": list(disk.tags), "label": one.label}
        for index, (disk, one) in enumerate(zip(spec.disks, disks, strict=True))
    ]  # fmt: skip
    nic_rows: list[dict[str, object]] = [
        {"index": index, "name": nic.name, "mac_address": nic.mac_address, "kind": nic.kind.value, "source": nic.source,
         "vid": nic.vid, "mode": _mode(one), "label": one.label, "interface_id": one.interface_id,
         "vlan_id": one.vlan_id, "subnet_id": one.subnet_id}
        for index, (nic, one) in enumerate(zip(spec.nics, nics, strict=True))
    ]  # fmt: skip
    return disk_rows, nic_rows


def _mode(nic: NicAttachment) -> str:
    if not nic.configured:
        return "unconfigured"
    return "dhcp" if nic.ip is None else "static"


def _deleted(error: asyncpg.ForeignKeyViolationError) -> InnkeeperError:
    if error.table_name == "machine_nic":
        return OutOfCapacity(f"A network of the host has just been deleted: {error.detail}")
    return InvalidRequest(f"The host, zone or pool has just been deleted: {error.detail}")


async def taken_hostnames(db: Db, hostnames: Iterable[str]) -> frozenset[str]:
    """Returns those of `hostnames` that machines and devices have."""
    return frozenset(row["hostname"] for row in await db.fetch(_TAKEN_HOSTNAMES, list(hostnames)))


async def nic_ids(db: Db, machine_id: int) -> tuple[int, ...]:
    """Returns the row ids of the machine's NICs, in their order."""
    return tuple(row["id"] for row in await db.fetch(_NIC_IDS, machine_id))
