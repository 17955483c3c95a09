"""SQL for guests' cores, huge pages, virtual functions and NIC settings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from attrs import frozen

from common.errors import WrongState
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import GuestSpec, NicSpec
from common.serialization import from_dict, to_dict
from common.values import GuestRef, NicKind
from rackd.drivers.simulated import settings

_PAGE_HOLDERS = """
    select guest.guest_id, guest.memory_mib, pinning.core_ids,
           (select json_group_array(node_id) from memory_node where memory_node.guest_id = guest.guest_id) as node_ids
      from guest join pinning using (guest_id)
     where pinning.huge_pages
"""
_MEMORY_NODES = "select node_id from memory_node where guest_id = ? order by node_id"
_FUNCTIONS_TAKEN = "select source, count(*) as nics from nic where kind = ? group by source"
_RESERVED = """
    select guest.name, nic.source, nic.mac_address, nic_settings.settings
      from nic_settings join nic using (guest_id, position) join guest using (guest_id)
     where nic.kind = ? and guest.guest_id <> ?
"""
_SET_NIC = """
    update nic_settings set settings = ?
     where guest_id = ?
       and position = (select position from nic where nic.guest_id = nic_settings.guest_id and lower(mac_address) = ?)
"""
_NIC_SETTINGS = """
    select nic_settings.settings
      from nic_settings join guest using (guest_id)
     where guest.installation_id = ? and guest.machine_id = ?
     order by nic_settings.position
"""


@frozen(kw_only=True)
class PageHolder:
    """A guest backed by huge pages: of `node_ids`, else of the nodes of `core_ids`, else of any node."""

    memory_mib: int
    core_ids: tuple[int, ...] = ()
    node_ids: tuple[int, ...] = ()


def add(db: sqlite3.Connection, guest_id: str, spec: GuestSpec) -> None:
    """Stores the resources with which the guest was composed."""
    if spec.pinned_core_ids or spec.huge_page_size_kib is not None:
        pin(db, guest_id, spec.pinned_core_ids, huge_pages=spec.huge_page_size_kib is not None)
    if spec.max_memory_mib is not None:
        db.execute("insert into maximum values (?, ?)", (guest_id, spec.max_memory_mib))
    settings.add(db, guest_id, spec)
    db.executemany("insert into memory_node values (?, ?)", [(guest_id, node_id) for node_id in spec.numa_node_ids])
    db.executemany(
        "insert into nic_settings values (?, ?, ?)",
        [(guest_id, position, json.dumps(to_dict(nic))) for position, nic in enumerate(spec.nics)],
    )


def check_addresses_free(db: sqlite3.Connection, guest_id: str, nics: Iterable[NicSpec]) -> None:
    """Raises WrongState if another guest has one of the addresses reserved on the same network."""
    reserved = {}
    for row in db.execute(_RESERVED, (NicKind.NETWORK.value, guest_id)):
        address = from_dict(json.loads(row["settings"]), NicSpec).address
        if address is not None:
            reserved[row["source"], address.address] = row["name"]
    for nic in nics:
        if nic.kind is not NicKind.NETWORK or nic.address is None:
            continue
        holder = reserved.get((nic.source, nic.address.address))
        if holder is not None:
            raise WrongState(
                f"Cannot reserve {nic.address.address} for {nic.mac_address}: the network {nic.source} reserves it for "
                f"the guest {holder}. Choose another address."
            )


def set_nics(db: sqlite3.Connection, guest_id: str, nics: Iterable[NicSpec]) -> None:
    """Replaces the settings of these NICs, which their MAC addresses identify."""
    db.executemany(_SET_NIC, [(json.dumps(to_dict(nic)), guest_id, nic.mac_address.lower()) for nic in nics])


def pin(db: sqlite3.Connection, guest_id: str, core_ids: Iterable[int], *, huge_pages: bool) -> None:
    db.execute("insert into pinning values (?, ?, ?)", (guest_id, json.dumps(list(core_ids)), huge_pages))


def place(db: sqlite3.Connection, guest_id: str, placement: GuestPlacement) -> None:
    """Replaces the cores, huge pages and nodes that the guest is bound to."""
    for table in ("pinning", "memory_node"):
        db.execute(f"delete from {table} where guest_id = ?", (guest_id,))  # noqa: S608  names of this module
    if placement.pinned_core_ids or placement.huge_page_size_kib is not None:
        pin(db, guest_id, placement.pinned_core_ids, huge_pages=placement.huge_page_size_kib is not None)
    db.executemany("insert into memory_node values (?, ?)", [(guest_id, one) for one in placement.numa_node_ids])


def page_holders(db: sqlite3.Connection, *, besides: str = "") -> tuple[PageHolder, ...]:
    """Returns the guests backed by huge pages, except the one with the id `besides`."""
    return tuple(
        PageHolder(
            memory_mib=row["memory_mib"],
            core_ids=tuple(json.loads(row["core_ids"])),
            node_ids=tuple(json.loads(row["node_ids"])),
        )
        for row in db.execute(_PAGE_HOLDERS)
        if row["guest_id"] != besides
    )


def memory_nodes(db: sqlite3.Connection, guest_id: str) -> tuple[int, ...]:
    """Returns the NUMA nodes that were chosen for the guest's memory."""
    return tuple(row["node_id"] for row in db.execute(_MEMORY_NODES, (guest_id,)))


def functions_taken(db: sqlite3.Connection) -> Mapping[str, int]:
    """Returns the number of assigned virtual functions by port."""
    return {row["source"]: row["nics"] for row in db.execute(_FUNCTIONS_TAKEN, (NicKind.SRIOV.value,))}


def nic_settings(db: sqlite3.Connection, guest: GuestRef) -> tuple[NicSpec, ...]:
    """Returns the NICs as requested, with their addresses."""
    owner = (str(guest.marker.installation_id), str(guest.marker.machine_id))
    return tuple(from_dict(json.loads(row["settings"]), NicSpec) for row in db.execute(_NIC_SETTINGS, owner))
