"""The repair of each kind of discrepancy.

Automatic and approved repairs are the same. A repair locks the rows that it changes, detects the discrepancy again, and
does nothing unless it finds the same one. So a concurrent repeat does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from regiond.db.pool import Db
from regiond.reconciler.autostart import repair as autostart
from regiond.reconciler.claims import repair as claims
from regiond.reconciler.disks import repair as disks
from regiond.reconciler.extension import Repair, reconciler_extensions
from regiond.reconciler.guests import repair as guests
from regiond.reconciler.machines import repair as machines
from regiond.reconciler.model import Discrepancy, DiscrepancyKind
from regiond.reconciler.operations import repair as operations
from regiond.reconciler.uses import repair as uses
from regiond.reconciler.volumes import repair as volumes


async def _end_state(db: Db, discrepancy: Discrepancy) -> str | None:
    """Ends the transient state of a host or machine."""
    of_host = discrepancy.key.startswith("host ")
    return await (operations.restore_host if of_host else machines.end_state)(db, discrepancy)


# Discrepancies of all other kinds have the policy `none`.
REPAIRS: Mapping[DiscrepancyKind, Repair] = {
    DiscrepancyKind.LEFTOVER_GUEST: guests.remove_leftover,
    DiscrepancyKind.UNKNOWN_GUEST: guests.adopt,
    DiscrepancyKind.DUPLICATE_GUEST: guests.remove_marker,
    DiscrepancyKind.GUEST_ON_OTHER_HOST: guests.move_machine,
    DiscrepancyKind.MACHINE_MISSING: machines.drop_missing,
    DiscrepancyKind.DISKS_CHANGED: disks.record_disks,
    DiscrepancyKind.ORPHANED_VOLUME: volumes.remove_volume,
    DiscrepancyKind.WRONG_AUTOSTART: autostart.set_autostart,
    DiscrepancyKind.MACHINE_WITHOUT_CLAIMS: claims.rewrite_claims,
    DiscrepancyKind.WRONG_CLAIMS: claims.rewrite_claims,
    DiscrepancyKind.ORPHANED_CLAIM: claims.remove_claims,
    DiscrepancyKind.WRONG_TOTAL: claims.recompute_server_totals,
    DiscrepancyKind.ORPHANED_ADDRESS: claims.release_address,
    DiscrepancyKind.USE_UNPROVEN: uses.confirm,
    DiscrepancyKind.STATE_WITHOUT_OPERATION: _end_state,
    DiscrepancyKind.LEASE_EXPIRED: operations.end_lease,
    DiscrepancyKind.OPERATION_STUCK: operations.cancel,
    **{kind: repair for extension in reconciler_extensions() for kind, repair in extension.repairs.items()},
}

# The repair of these kinds is an operation that changes the host. It is opened automatically only while a rack
# reaches the host: otherwise it would fail after an hour and be opened again, until a rack reaches the host.
AT_HOST = frozenset({DiscrepancyKind.LEFTOVER_GUEST, DiscrepancyKind.ORPHANED_VOLUME, DiscrepancyKind.WRONG_AUTOSTART})


async def repair(db: Db, discrepancy: Discrepancy) -> str | None:
    """Repairs the discrepancy, as `Repair` does; returns None also for kinds without a repair."""
    repair_kind = REPAIRS.get(discrepancy.kind)
    return None if repair_kind is None else await repair_kind(db, discrepancy)
