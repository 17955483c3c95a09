"""SQL for the addresses that simulated guests have once they have booted. The caller owns the transaction.

A NIC has its static address, or one by DHCP if its network has a DHCP server.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from common.guests.guest_spec import NicSpec
from common.serialization import from_dict
from common.values import HostNetwork, NicKind, PowerState

_MAX_TRIES = 256  # addresses of a range that are looked at; then the guest gets none

_UNLEASED = """
    select nic.mac_address, nic.source, nic_settings.settings
      from nic left join nic_settings using (guest_id, position)
     where nic.guest_id = ? and nic.kind = ? and nic.mac_address not in (select mac_address from lease)
     order by nic.position
"""
_BOOTED = """
    select nic.mac_address, lease.address, nic_settings.settings
      from guest join deployment using (guest_id) join nic using (guest_id)
      left join nic_settings using (guest_id, position)
      left join lease on lease.mac_address = nic.mac_address
     where guest.power = :on and (:guest_id is null or guest.guest_id = :guest_id)
       and exists (select 1 from lease other where other.guest_id = guest.guest_id)
       and not exists (select 1 from boot where boot.guest_id = guest.guest_id and boot.due_at > :now)
"""


def assign(db: sqlite3.Connection, guest_id: str, networks: Iterable[HostNetwork]) -> None:
    """Gives the guest addresses, which it has once it has booted, and keeps. Idempotent."""
    ranges = {network.name: network.dhcp_ranges for network in networks if network.kind is NicKind.NETWORK}
    for nic in db.execute(_UNLEASED, (guest_id, NicKind.NETWORK.value)).fetchall():
        chosen = None if _static(nic["settings"]) else _free(db, nic["mac_address"], ranges.get(nic["source"], ()))
        text = None if chosen is None else str(chosen)
        db.execute("insert into lease values (?, ?, ?, ?)", (nic["mac_address"], guest_id, nic["source"], text))


def has_asked(db: sqlite3.Connection, guest_id: str) -> bool:
    """Returns whether the system of the guest has asked for addresses since its start."""
    return db.execute("select 1 from lease where guest_id = ?", (guest_id,)).fetchone() is not None


def forget(db: sqlite3.Connection, guest_id: str) -> None:
    """The guest asks again at its next start. Idempotent."""
    db.execute("delete from lease where guest_id = ?", (guest_id,))


def addresses(db: sqlite3.Connection, guest_id: str | None) -> Mapping[str, tuple[str, ...]]:
    """Returns by MAC address those of the guests that have booted; of one guest, or (None) of all."""
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for row in db.execute(_BOOTED, {"on": PowerState.ON.value, "guest_id": guest_id, "now": time.time()}):
        leased = (row["address"],) if row["address"] else ()
        found[row["mac_address"]] = (*_static(row["settings"]), *leased)
    return found


def _static(settings: str | None) -> tuple[str, ...]:
    nic = None if settings is None else from_dict(json.loads(settings), NicSpec)
    return () if nic is None or nic.address is None else (nic.address.address,)


def _free(db: sqlite3.Connection, mac_address: str, ranges: Iterable[str]) -> IPv4Address | IPv6Address | None:
    """Begins at an address that depends on the NIC, so that guests of several hosts mostly have different ones."""
    taken = {row["address"] for row in db.execute("select address from lease")}
    for text in ranges:
        first, _, last = text.partition("-")
        start, size = ip_address(first), int(ip_address(last)) - int(ip_address(first)) + 1
        offset = zlib.crc32(mac_address.encode())
        for step in range(min(size, _MAX_TRIES)):
            address = start + (offset + step) % size
            if str(address) not in taken:
                return address
    return None
