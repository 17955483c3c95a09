"""The rows of machines that are being composed: their own, and those of the disks and cards that were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest, OutOfCapacity
from common.values import GuestSpec
from regiond.machines.store import Taken
from regiond.placement.model import NicPlace

if TYPE_CHECKING:
    from regiond.db.pool import Db

_INSERT = """
    with made as (
        insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, architecture, cores,
                             memory_mib, tags, description, pinned_core_ids, huge_page_size_kib)
        select uuid, system_id, hostname, host_id, pool_id, zone_id, 'composing', architecture, cores, memory_mib,
               tags, description, pinned_core_ids, huge_page_size_kib
          from jsonb_to_recordset($1::jsonb) m (
               uuid uuid, system_id text, hostname text, host_id integer, pool_id integer, zone_id integer,
               architecture text, cores integer, memory_mib bigint, tags text[], description text,
               pinned_core_ids integer[], huge_page_size_kib bigint)
        returning id, uuid
    ), disks as (
        insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags)
        select made.id, d.index, d.volume, d.storage_pool_id, d.size_bytes, d.serial, d.tags
          from jsonb_to_recordset($2::jsonb) d (machine uuid, index integer, volume text, storage_pool_id integer,
                                                size_bytes bigint, serial text, tags text[])
          join made on made.uuid = d.machine
    ), nics as (
        insert into machine_nic (machine_id, index, name, mac_address, kind, source, vid, mode, label, interface_id,
                                 vlan_id, subnet_id)
        select made.id, n.index, n.name, n.mac_address, n.kind, n.source, n.vid, n.mode, n.label, n.interface_id,
               n.vlan_id, n.subnet_id
          from jsonb_to_recordset($3::jsonb) n (machine uuid, index integer, name text, mac_address text, kind text,
                                                source text, vid integer, mode text, label text, interface_id integer,
                                                vlan_id integer, subnet_id integer)
          join made on made.uuid = n.machine
    )
    select id, uuid from made
"""
_REWRITE = """
    with moved as (
        update machine set uuid = $2, host_id = $3, pool_id = coalesce($4, pool_id), zone_id = coalesce($5, zone_id),
                           architecture = $6, cores = $7, memory_mib = $8, tags = $9, pinned_core_ids = $10,
                           huge_page_size_kib = $11
         where id = $1
        returning id
    ), disks as (
        insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags)
        select moved.id, d.*
          from moved, jsonb_to_recordset($12::jsonb) d (index integer, volume text, storage_pool_id integer,
                                                        size_bytes bigint, serial text, tags text[])
    )
    insert into machine_nic (machine_id, index, name, mac_address, kind, source, vid, mode, label, interface_id,
                             vlan_id, subnet_id)
    select moved.id, n.*
      from moved, jsonb_to_recordset($13::jsonb) n (index integer, name text, mac_address text, kind text, source text,
                                                    vid integer, mode text, label text, interface_id integer,
                                                    vlan_id integer, subnet_id integer)
"""
_STRIP = """
    with disks as (delete from machine_disk where machine_id = $1) delete from machine_nic where machine_id = $1
"""


@frozen(kw_only=True)
class NewMachine:
    """`nics` are the places of the cards of `spec`, `storage_pool_ids` the pools of its disks."""

    spec: GuestSpec
    system_id: str
    host_id: int
    pool_id: int
    zone_id: int
    tags: Sequence[str]
    storage_pool_ids: Sequence[int]
    nics: Sequence[NicPlace]


async def insert(db: Db, machines: Sequence[NewMachine]) -> Mapping[UUID, int]:
    """The id of each machine's row by its UUID; they have their disks and cards. As many queries for one as for all.

    Raises Taken, InvalidRequest when host, zone or pool went, and OutOfCapacity when a network of a card did; the
    caller's transaction must then roll back.
    """
    parts = [(one.spec.mark.machine_id, _parts(one.spec, one.storage_pool_ids, one.nics)) for one in machines]
    disks = [{"machine": uuid, **disk} for uuid, (disks, _) in parts for disk in disks]
    cards = [{"machine": uuid, **card} for uuid, (_, cards) in parts for card in cards]
    try:
        rows = await db.fetch(_INSERT, [_row(one) for one in machines], disks, cards)
    except asyncpg.UniqueViolationError as error:
        raise Taken(error.constraint_name or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _gone(error) from error
    return {row["uuid"]: row["id"] for row in rows}


def _row(machine: NewMachine) -> Mapping[str, object]:
    spec = machine.spec
    return {
        "uuid": spec.mark.machine_id, "system_id": machine.system_id, "hostname": spec.name,
        "host_id": machine.host_id, "pool_id": machine.pool_id, "zone_id": machine.zone_id,
        "architecture": spec.architecture, "cores": spec.cores, "memory_mib": spec.memory_mib,
        "tags": list(machine.tags), "description": spec.description,
        "pinned_core_ids": list(spec.pinned_core_ids), "huge_page_size_kib": spec.huge_page_size_kib,
    }  # fmt: skip


async def rewrite(
    db: Db,
    machine_id: int,
    spec: GuestSpec,
    *,
    host_id: int,
    pool_id: int | None,
    zone_id: int | None,
    tags: Sequence[str],
    storage_pool_ids: Sequence[int],
    nics: Sequence[NicPlace],
) -> None:
    """A machine that is not made yet, and has been stripped, is to be made as `spec` says. None: pool or zone stays.

    Raises as `insert`.
    """
    disks, cards = _parts(spec, storage_pool_ids, nics)
    try:
        await db.execute(
            _REWRITE, machine_id, spec.mark.machine_id, host_id, pool_id, zone_id, spec.architecture, spec.cores,
            spec.memory_mib, list(tags), list(spec.pinned_core_ids), spec.huge_page_size_kib, disks, cards,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Taken(error.constraint_name or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise _gone(error) from error


async def strip(db: Db, machine_id: int) -> None:
    """Without disks and cards, and so without addresses. Harmless to repeat."""
    await db.execute(_STRIP, machine_id)


def _gone(error: asyncpg.ForeignKeyViolationError) -> InnkeeperError:
    if error.table_name == "machine_nic":
        return OutOfCapacity(f"A network of the host has just been removed: {error.detail}")
    return InvalidRequest(f"The host, zone or pool has just been removed: {error.detail}")


def _parts(
    spec: GuestSpec, storage_pool_ids: Sequence[int], nics: Sequence[NicPlace]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The rows of disks and cards."""
    disks: list[dict[str, object]] = [
        {"index": index, "volume": disk.volume, "storage_pool_id": pool, "size_bytes": disk.size_bytes,
         "serial": disk.serial, "tags": list(disk.tags)}
        for index, (disk, pool) in enumerate(zip(spec.disks, storage_pool_ids, strict=True))
    ]  # fmt: skip
    cards: list[dict[str, object]] = [
        {"index": index, "name": nic.name, "mac_address": nic.mac_address, "kind": nic.kind.value, "source": nic.source,
         "vid": nic.vid, "mode": _mode(place), "label": place.label, "interface_id": place.interface_id,
         "vlan_id": place.vlan_id, "subnet_id": place.subnet_id}
        for index, (nic, place) in enumerate(zip(spec.nics, nics, strict=True))
    ]  # fmt: skip
    return disks, cards


def _mode(place: NicPlace) -> str:
    if not place.configured:
        return "unconfigured"
    return "dhcp" if place.ip is None else "static"
