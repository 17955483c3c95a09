"""Ends expired leases, cancels operations, and restores hosts that nothing removes."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.hosts import store as host_store
from regiond.operations import lease_store
from regiond.operations import store as operation_store
from regiond.reconciler import locks
from regiond.reconciler.model import Discrepancy
from regiond.reconciler.operations import store
from regiond.reconciler.operations.detection import detect, removal_without_operation


async def end_lease(db: Db, discrepancy: Discrepancy) -> str | None:
    """Ends the lease, so that any region takes over the operation at once; fencing rejects calls of the former one."""
    operation_id = discrepancy.id_of("operation")
    attempt, step = await store.lock_operation(db, operation_id)
    current = await _revalidate(db, discrepancy)
    if current is None:
        return None
    await store.end_lease(db, operation_id)
    await lease_store.append_log(
        db, operation_id, attempt, step, "lease ended by the reconciler", {"reason": current.found}
    )
    return f"{current.found}: lease ended"


async def cancel(db: Db, discrepancy: Discrepancy) -> str | None:
    """Requests cancellation; the operation undoes what it did before it ends as cancelled."""
    operation_id = discrepancy.id_of("operation")
    attempt, step = await store.lock_operation(db, operation_id)
    current = await _revalidate(db, discrepancy)
    if current is None or not await operation_store.request_cancel(db, operation_id):
        return None
    await lease_store.append_log(db, operation_id, attempt, step, "cancellation requested", {"reason": current.found})
    return f"{current.found}: cancellation requested"


async def restore_host(db: Db, discrepancy: Discrepancy) -> str | None:
    """Makes a host available again whose removal no operation continues."""
    host_id = discrepancy.id_of("host")
    await locks.lock_host(db, host_id)
    hosts = await store.removals_without_operation(db, host_id)
    if discrepancy.revalidated(removal_without_operation(host) for host in hosts) is None:
        return None
    await host_store.reopen_host(db, host_id)
    return "it was being removed, and no operation did so: it is available again, and the next refresh updates it"


async def _revalidate(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    now = await store.now(db)
    operations = await store.open_operations(db, discrepancy.id_of("operation"))
    return discrepancy.revalidated(detect(operation, now) for operation in operations)
