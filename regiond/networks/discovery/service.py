"""Updates interfaces, VLANs, subnets and IP ranges from the facts of a discovery run."""

from __future__ import annotations

from common.values import HostFacts
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.networks.base_service import lock_networks
from regiond.networks.discovery import store
from regiond.networks.discovery.diff import compare
from regiond.networks.discovery.interface_facts import interfaces_of


async def discover_networks(db: Db, host_id: int, facts: HostFacts) -> None:
    """Writes what is new, in the caller's transaction. Unchanged facts cost two queries and no lock. Idempotent.

    Changes are computed again under the lock of all networks, so that two hosts do not create one subnet twice. The
    lock is held until the transaction ends: call this late in it.
    """
    found = interfaces_of(facts)
    cidrs = {cidr for one in found for cidr, _ in one.interface.links}
    if compare(found, await store.read_known(db, host_id, cidrs)).none:
        return
    await lock_networks(db)
    changes = compare(found, await store.read_known(db, host_id, cidrs))
    await store.write(db, host_id, changes)
    if changes.subnets:
        host_name: str = await store.host_name(db, host_id)
        for new in changes.subnets:
            message = f"Discovered the subnet {new.cidr} on {host_name}"
            await Events.record(db, "subnet_found", message, host_id=host_id, details={"cidr": str(new.cidr)})
