"""SQL for guests' cores, huge pages, virtual functions and NIC settings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from attrs import frozen

from common.guest_spec import GuestSpec, NicSpec
from common.serialization import from_dict, to_dict
from common.values import GuestRef, NicKind

_PAGE_HOLDERS = """
    select guest.guest_id, guest.memory_mib, pinning.core_ids,
           (select json_group_array(node_id) from memory_node where memory_node.guest_id = guest.guest_id) as node_ids
      from guest join pinning using (guest_id)
     where pinning.huge_pages
"""
_FUNCTIONS_TAKEN = "select source, count(*) as nics from nic where kind = ? group by source"
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
    db.executemany("insert into memory_node values (?, ?)", [(guest_id, node_id) for node_id in spec.numa_node_ids])
    db.executemany(
        "insert into nic_settings values (?, ?, ?)",
        [(guest_id, position, json.dumps(to_dict(nic))) for position, nic in enumerate(spec.nics)],
    )


def pin(db: sqlite3.Connection, guest_id: str, core_ids: Iterable[int], *, huge_pages: bool) -> None:
    db.execute("insert into pinning values (?, ?, ?)", (guest_id, json.dumps(list(core_ids)), huge_pages))


def page_holders(db: sqlite3.Connection) -> tuple[PageHolder, ...]:
    return tuple(
        PageHolder(
            memory_mib=row["memory_mib"],
            core_ids=tuple(json.loads(row["core_ids"])),
            node_ids=tuple(json.loads(row["node_ids"])),
        )
        for row in db.execute(_PAGE_HOLDERS)
    )


def functions_taken(db: sqlite3.Connection) -> Mapping[str, int]:
    """Returns the number of assigned virtual functions by port."""
    return {row["source"]: row["nics"] for row in db.execute(_FUNCTIONS_TAKEN, (NicKind.SRIOV.value,))}


def nic_settings(db: sqlite3.Connection, guest: GuestRef) -> tuple[NicSpec, ...]:
    """Returns the NICs as requested, with their addresses."""
    owner = (str(guest.marker.installation_id), str(guest.marker.machine_id))
    return tuple(from_dict(json.loads(row["settings"]), NicSpec) for row in db.execute(_NIC_SETTINGS, owner))
