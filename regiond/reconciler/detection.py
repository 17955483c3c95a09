"""Compares the ledger with the last refreshes and lists all discrepancies."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.ledger.consistency import total_mismatches
from regiond.reconciler import store
from regiond.reconciler.autostart import detection as autostart_detection
from regiond.reconciler.autostart import store as autostart_store
from regiond.reconciler.claims import detection as claim_detection
from regiond.reconciler.claims import store as claim_store
from regiond.reconciler.disks import detection as disk_detection
from regiond.reconciler.disks import store as disk_store
from regiond.reconciler.extension import reconciler_extensions
from regiond.reconciler.guests import detection as guest_detection
from regiond.reconciler.guests import store as guest_store
from regiond.reconciler.machines import detection as machine_detection
from regiond.reconciler.machines import store as machine_store
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.operations import detection as operation_detection
from regiond.reconciler.operations import store as operation_store
from regiond.reconciler.uses import detection as use_detection
from regiond.reconciler.uses import store as use_store
from regiond.reconciler.volumes import detection as volume_detection
from regiond.reconciler.volumes import store as volume_store


async def find_discrepancies(db: Db) -> list[Discrepancy]:
    """Returns all discrepancies. Requires a transaction with one snapshot (`store.use_snapshot`); calls no rack."""
    found = [
        *[guest_detection.detect(guest) for guest in await guest_store.marked_guests(db)],
        *[claim_detection.detect_guest_claims(guest) for guest in await claim_store.wrong_guest_claims(db)],
        *[one for machine in await machine_store.suspect_machines(db) for one in machine_detection.detect(machine)],
        *[one for machine in await disk_store.suspect_machines(db) for one in disk_detection.detect(machine)],
        *[autostart_detection.detect(machine) for machine in await autostart_store.wrong_autostarts(db)],
        *[use_detection.detect(machine) for machine in await use_store.unproven_machines(db)],
        *[volume_detection.detect(volume) for volume in await volume_store.orphaned_volumes(db)],
        *[one for extension in reconciler_extensions() for one in await extension.detect(db)],
        *await _claims(db),
        *await _operations(db),
    ]
    return [discrepancy for discrepancy in found if discrepancy is not None]


async def _claims(db: Db) -> list[Discrepancy]:
    hosts = await store.hosts_by_server(db)
    return [
        *[claim_detection.orphaned_claim(claim) for claim in await claim_store.orphaned_claims(db)],
        *[
            claim_detection.wrong_total(total, *hosts.get(total.server_id, (None, None)))
            for total in await total_mismatches(db)
        ],
        *[claim_detection.wrong_address(address) for address in await claim_store.wrong_addresses(db)],
    ]


async def _operations(db: Db) -> list[Discrepancy | None]:
    now = await operation_store.now(db)
    return [
        *[operation_detection.detect(operation, now) for operation in await operation_store.open_operations(db)],
        *[
            operation_detection.removal_without_operation(host)
            for host in await operation_store.removals_without_operation(db)
        ],
    ]
