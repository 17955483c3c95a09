"""SQL of the NICs that machines get and lose."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from attrs import frozen

from common.errors import InvalidRequest, WrongState
from regiond.db.pool import Db
from regiond.ledger import growth

_NEXT_INDEX = "select coalesce(max(index), -1) + 1 from machine_nic where machine_id = $1"
_INSERT = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source, vid, mode, label, interface_id,
                             vlan_id, subnet_id, tags)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id
"""
_REMOVE = "delete from machine_nic where machine_id = $1 and mac_address = $2"
_REPLACE = """
    update machine_nic
       set mac_address = $2, kind = $3, source = $4, vid = $5, mode = $6, interface_id = $7, vlan_id = $8,
           subnet_id = $9, gateway_versions = '{}', link_before = null, link_id = null
     where id = $1
"""
_SET_MAC_ADDRESS = "update machine_nic set mac_address = $2 where id = $1"
# A NIC has its new address only when the operation that gives it ends.
_USED = """
    select exists (select from machine_nic where mac_address = $1)
        or exists (select from device_nic where mac_address = $1)
"""
_TAKEN = """
    select exists (select from machine_nic where mac_address = $1)
        or exists (select from device_nic where mac_address = $1)
        or exists (select from operation
                    where is_open and kind = 'change_nic'
                      and request -> 'nic' ->> 'mac_address' = $1)
"""
_SETTLE = "update machine set settled_at = clock_timestamp() where id = $1"


@frozen(kw_only=True)
class NewNic:
    """A row of a NIC."""

    machine_id: int
    index: int
    name: str
    mac_address: str
    kind: str
    source: str
    vid: int | None
    mode: str
    label: str
    interface_id: int | None
    vlan_id: int | None
    subnet_id: int | None
    tags: Sequence[str]


async def next_index(db: Db, machine_id: int) -> int:
    found: int = await db.fetchval(_NEXT_INDEX, machine_id)
    return found


async def is_taken(db: Db, mac_address: str) -> bool:
    """Returns whether a machine or a device has the MAC address, or is about to get it."""
    return await db.fetchval(_TAKEN, mac_address) is True


async def is_used(db: Db, mac_address: str) -> bool:
    """Returns whether a machine or a device has the MAC address now."""
    return await db.fetchval(_USED, mac_address) is True


async def insert(db: Db, nic: NewNic) -> int:
    """Returns the id of the row. Raises InvalidRequest for a MAC address that was just taken, and WrongState."""
    try:
        nic_id: int = await db.fetchval(
            _INSERT, nic.machine_id, nic.index, nic.name, nic.mac_address, nic.kind, nic.source, nic.vid, nic.mode,
            nic.label, nic.interface_id, nic.vlan_id, nic.subnet_id, list(nic.tags),
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({"mac_address": [f"{nic.mac_address} was just taken."]}) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise WrongState("A network of the host has just been deleted. Try again.") from error
    return nic_id


async def replace(db: Db, nic_id: int, nic: NewNic) -> None:
    """Writes what the NIC is attached to, and its MAC address. Its release restores no earlier link. Idempotent."""
    await db.execute(
        _REPLACE, nic_id, nic.mac_address, nic.kind, nic.source, nic.vid, nic.mode, nic.interface_id, nic.vlan_id,
        nic.subnet_id,
    )  # fmt: skip


async def set_mac_address(db: Db, nic_id: int, mac_address: str) -> None:
    """Idempotent."""
    await db.execute(_SET_MAC_ADDRESS, nic_id, mac_address)


async def remove(db: Db, machine_id: int, mac_address: str) -> None:
    """Deletes the row, and with it the claims of its addresses. Idempotent."""
    await db.execute(_REMOVE, machine_id, mac_address)
    await settle(db, machine_id)


async def remove_claimed(db: Db, machine_id: int, mac_address: str, function_port: str | None) -> None:
    """As `remove`, and frees the virtual function of the port."""
    if function_port is not None:
        await growth.free_function(db, machine_id, function_port)
    await remove(db, machine_id, mac_address)


async def settle(db: Db, machine_id: int) -> None:
    """The report of a discovery run that began earlier no longer counts."""
    await db.execute(_SETTLE, machine_id)
