"""What a look could not read of a guest is as the last one found it. Pure.

libvirt tells cards, architecture, pinned cores and huge pages of one guest at a time, and some may not answer, or not
in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.values import NicKind
from regiond.hosts.known import GuestRow, Known
from regiond.ledger.model import NOTHING_COUNTED, Counted


def with_untold(row: GuestRow, known: Known) -> GuestRow:
    """`row` with what is known of the guest beside what was told. Where its row is gone, the ledger knows it."""
    before = known.guests.get(row.key)
    if before is not None:
        serials = {disk["device"]: disk["serial"] for disk in before.disks}
        return evolve(
            row,
            architecture=before.architecture,
            pinned_core_ids=before.pinned_core_ids,
            huge_pages_backed=before.huge_pages_backed,
            disks=tuple({**disk, "serial": serials.get(disk["device"])} for disk in row.disks),
            nics=before.nics,
        )
    holds = NOTHING_COUNTED if row.machine_id is None else known.counted.get(row.machine_id, NOTHING_COUNTED)
    return evolve(
        row, pinned_core_ids=holds.pinned_core_ids, huge_pages_backed=bool(holds.huge_pages), nics=_cards(holds)
    )


def _cards(holds: Counted) -> tuple[Mapping[str, Any], ...]:
    """Of the cards only those are known that a virtual function is held for."""
    ports = (port for port, count in sorted(holds.functions.items()) for _ in range(count))
    return tuple({"mac_address": "", "kind": NicKind.SRIOV.value, "source": port} for port in ports)
