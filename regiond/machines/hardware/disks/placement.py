"""Chooses the storage pool of a new disk, on the host of its machine."""

from __future__ import annotations

from attrs import frozen

from common.errors import OutOfCapacity, WrongState
from regiond.db.pool import Db
from regiond.machines.core.candidate_store import read_candidates
from regiond.machines.values.disks import DiskToAdd
from regiond.machines.values.model import MachineView
from regiond.placement.candidate import Candidate
from regiond.placement.requirements import DiskRequirement
from regiond.placement.storage_assignment import assign_storage


@frozen(kw_only=True)
class ChosenPool:
    """A storage pool: its row id, the driver's key, its name; and the driver type of its host."""

    id: int
    key: str
    name: str
    driver: str


async def choose_pool(db: Db, machine: MachineView, disk: DiskToAdd) -> ChosenPool:
    """Returns the storage pool that compose would choose. Raises OutOfCapacity, in numbers, if none has the space."""
    found = await read_candidates(db, [machine.host_id] if machine.host_id is not None else [], with_nodes=False)
    if not found:
        raise WrongState(f"{machine.hostname} is on no host.")
    (host,) = found.values()
    return pool_on(host, machine, disk)


def pool_on(host: Candidate, machine: MachineView, disk: DiskToAdd) -> ChosenPool:
    """Returns the storage pool of the machine's host. Raises OutOfCapacity, in numbers. Pure."""
    wanted = DiskRequirement(
        label=disk.label,
        size_bytes=disk.size_bytes,
        tags=disk.tags,
        pools=(disk.pool,) if disk.pool else (),
    )
    assigned, reason = assign_storage([wanted], host)
    if reason is not None:
        raise OutOfCapacity(f"{machine.host_name} cannot give {machine.hostname} the disk: it {reason}.")
    (chosen,) = assigned
    key = next(pool.pool_key for pool in host.storage_pools if pool.id == chosen.storage_pool_id)
    return ChosenPool(id=chosen.storage_pool_id, key=key, name=chosen.storage_pool, driver=host.driver)
