"""Public functions of the ledger: claim, release, record, recompute, check, report capacity.

All functions that take `db` join the caller's transaction.
"""

from __future__ import annotations

from regiond.ledger.capacities import capacities_of_hosts, capacity_with_limits, compute_claimed_by_hosts
from regiond.ledger.capacity_totals import fleet_capacity, total_capacity
from regiond.ledger.claimable import CLAIMED_OF_STORAGE, MOST_CLAIMABLE
from regiond.ledger.claims import (
    claim_batch,
    claim_discrete,
    limit_later_locks,
    lock_hosts,
    set_discrete_totals,
    write_claims,
)
from regiond.ledger.consistency import check, total_mismatches
from regiond.ledger.growth import (
    claim_function,
    free_function,
    free_storage,
    grow_bound,
    grow_machine,
    grow_storage,
    settle_bound,
    settle_machine,
)
from regiond.ledger.image_claims import claim_image, drop_images, record_images
from regiond.ledger.machine_claims import claims_of_machine
from regiond.ledger.numa_availability import numa_nodes_of_hosts
from regiond.ledger.store import (
    claim,
    drop_guests,
    drop_server,
    lock_server,
    move_machine,
    record_actual,
    record_storage,
    release_machine,
    resize_machine,
    server_of_host,
    write_guests,
)
from regiond.ledger.totals import recompute_totals

__all__ = [
    "CLAIMED_OF_STORAGE",
    "MOST_CLAIMABLE",
    "capacities_of_hosts",
    "capacity_with_limits",
    "check",
    "claim",
    "claim_batch",
    "claim_discrete",
    "claim_function",
    "claim_image",
    "claims_of_machine",
    "compute_claimed_by_hosts",
    "drop_guests",
    "drop_images",
    "drop_server",
    "fleet_capacity",
    "free_function",
    "free_storage",
    "grow_bound",
    "grow_machine",
    "grow_storage",
    "limit_later_locks",
    "lock_hosts",
    "lock_server",
    "move_machine",
    "numa_nodes_of_hosts",
    "recompute_totals",
    "record_actual",
    "record_images",
    "record_storage",
    "release_machine",
    "resize_machine",
    "server_of_host",
    "set_discrete_totals",
    "settle_bound",
    "settle_machine",
    "total_capacity",
    "total_mismatches",
    "write_claims",
    "write_guests",
]
