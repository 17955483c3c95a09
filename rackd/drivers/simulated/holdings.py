"""SQL about what guests of a simulated host hold beside their disks: cores, huge pages, functions, cards' settings."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from attrs import frozen

from common.values import GuestRef, GuestSpec, NicKind, NicSpec
from common.wire import from_plain, to_plain

_PAGE_HOLDERS = """
    select guest.guest_id, guest.memory_mib, pinning.core_ids,
           (select json_group_array(node_id) from memory_node where memory_node.guest_id = guest.guest_id) as node_ids
      from guest join pinning using (guest_id)
     where pinning.huge_pages
"""
_FUNCTIONS_TAKEN = "select source, count(*) as cards from nic where kind = ? group by source"
_NIC_SETTINGS = """
    select nic_settings.settings
      from nic_settings join guest using (guest_id)
     where guest.installation_id = ? and guest.machine_id = ?
     order by nic_settings.position
"""


@frozen(kw_only=True)
class PageHolder:
    """A guest whose memory is of huge pages: those of `node_ids`, or of the nodes of `core_ids`, or of any node."""

    memory_mib: int
    core_ids: tuple[int, ...] = ()
    node_ids: tuple[int, ...] = ()


def keep(db: sqlite3.Connection, guest_id: str, spec: GuestSpec) -> None:
    """What the guest was made with."""
    if spec.pinned_core_ids or spec.huge_page_size_kib is not None:
        pin(db, guest_id, spec.pinned_core_ids, huge_pages=spec.huge_page_size_kib is not None)
    db.executemany("insert into memory_node values (?, ?)", [(guest_id, node_id) for node_id in spec.numa_node_ids])
    db.executemany(
        "insert into nic_settings values (?, ?, ?)",
        [(guest_id, position, json.dumps(to_plain(nic))) for position, nic in enumerate(spec.nics)],
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
    """By port."""
    return {row["source"]: row["cards"] for row in db.execute(_FUNCTIONS_TAKEN, (NicKind.SRIOV.value,))}


def nic_settings(db: sqlite3.Connection, guest: GuestRef) -> tuple[NicSpec, ...]:
    """The cards as they were asked for, the address that each was given included."""
    owner = (str(guest.mark.installation_id), str(guest.mark.machine_id))
    return tuple(from_plain(json.loads(row["settings"]), NicSpec) for row in db.execute(_NIC_SETTINGS, owner))
