"""SQL of imports: the MAC addresses that are in use."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db

# Those of machines and devices, those that an open operation gives to a NIC, and those of any guest of any host.
_TAKEN = """
    select wanted.mac from unnest($1::text[]) wanted (mac)
     where exists (select from used_mac_address u where u.mac_address = wanted.mac)
        or exists (select from operation
                    where is_open and kind = 'change_nic' and request -> 'nic' ->> 'mac_address' = wanted.mac)
        or exists (select from guest g, jsonb_to_recordset(g.nics) n (mac_address text)
                    where lower(n.mac_address) = wanted.mac)
"""


async def taken_macs(db: Db, mac_addresses: Sequence[str]) -> frozenset[str]:
    """Returns those of the MAC addresses that a machine, a device or a guest has, or is about to get."""
    return frozenset(row["mac"] for row in await db.fetch(_TAKEN, list(mac_addresses)))
