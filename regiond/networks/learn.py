"""Networks are learned of every look at a host, in the transaction that takes the look in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.values import HostFacts
from regiond.events.service import Events
from regiond.networks import learn_store
from regiond.networks.findings import found_in
from regiond.networks.learning import decide
from regiond.networks.room import lock

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def learn(db: Db, host_id: int, facts: HostFacts) -> None:
    """Write what the look teaches; nothing new takes two queries and no lock.

    What is new is decided again under the lock of all networks, so that two looks at once make one subnet of one CIDR.
    It is held until the transaction ends, and all others who learn wait for that: call this late in it.
    """
    found = found_in(facts)
    cidrs = {cidr for one in found for cidr, _ in one.interface.links}
    if decide(found, await learn_store.read_known(db, host_id, cidrs)).none:
        return
    await lock(db)
    lessons = decide(found, await learn_store.read_known(db, host_id, cidrs))
    await learn_store.write(db, host_id, lessons)
    if lessons.subnets:
        host_name: str = await learn_store.host_name(db, host_id)
        for new in lessons.subnets:
            message = f"The subnet {new.cidr} was found on {host_name}"
            await Events.record(db, "subnet_found", message, host_id=host_id, details={"cidr": str(new.cidr)})
