"""The storage pools of guests' disks: finds one by id, and checks its type and free space."""

from __future__ import annotations

import structlog
from attrs import frozen

from common.errors import DriverFailed, NotFound, WrongState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.storage_objects import Pool, Volume
from rackd.drivers.libvirt.definitions.disk_xml import normalised, path_of, pool_volume_of
from rackd.drivers.libvirt.definitions.pool_types import FOLDER_TYPES, POOL_TYPES, reason_unused
from rackd.drivers.libvirt.xml import Element, bytes_at, parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class GuestPool:
    """A pool of a type in POOL_TYPES. `tree` is its XML when it was found."""

    pool: Pool
    type: str
    tree: Element

    @property
    def has_block_devices(self) -> bool:
        """True if QEMU opens its volumes as block devices; otherwise it opens files."""
        return self.type not in FOLDER_TYPES

    def available_bytes(self, wanted_bytes: int) -> int:
        """Refreshes the pool if `wanted_bytes` do not fit libvirt's last figure."""
        left_bytes = bytes_at(self.tree, "available", unit="bytes") or 0
        if left_bytes >= wanted_bytes:
            return left_bytes
        self.pool.refresh()
        return bytes_at(_tree_of(self.pool), "available", unit="bytes") or 0

    def volume(self, name: str) -> Volume | None:
        """Refreshes the pool if libvirt does not know the volume: others may have made it."""
        found = self.pool.volume(name)
        if found is not None:
            return found
        try:
            self.pool.refresh()
        except DriverFailed as error:  # a copy to the pool runs
            log.info("storage_pool_not_refreshed", pool=self.pool.name, reason=str(error))
        return self.pool.volume(name)

    def required_volume(self, name: str) -> Volume:
        """Raises NotFound without it."""
        volume = self.volume(name)
        if volume is None:
            raise NotFound(f"The storage pool {self.pool.name} has no volume {name}.", volume=name)
        return volume

    def volume_of(self, disk: Element, name: str) -> Volume:
        """Returns the volume `name`, which is this disk of a domain.

        Raises NotFound if there is none, WrongState if it is another file than the disk.
        """
        volume = self.required_volume(name)
        path = volume.path()
        if pool_volume_of(disk) != (self.pool.name, name) and normalised(path) != normalised(path_of(disk)):
            raise WrongState(
                f"The disk {name} is {path_of(disk)}, but the volume {name} of the storage pool {self.pool.name} is "
                f"{path}. Give the guest the volume on the host, or the disk another name: virsh edit.",
                volume=name,
            )
        return volume


def guest_pool(client: Client, pool_id: str) -> GuestPool:
    """Raises NotFound, and DriverFailed if the pool is inactive or of another type."""
    pool = client.pool(pool_id)
    tree = _tree_of(pool)
    pool_type = tree.get("type", "")
    if pool_type not in POOL_TYPES:
        raise DriverFailed(f"{pool.name}: {reason_unused(pool_type)}")
    return GuestPool(pool=pool, type=pool_type, tree=tree)


def _tree_of(pool: Pool) -> Element:
    return parse(pool.xml(), f"the storage pool {pool.name}")


def refresh(pool: GuestPool) -> None:
    """libvirt finds out the format of a volume only when it reads the pool again."""
    try:
        pool.pool.refresh()
    except DriverFailed as error:  # a copy to the pool runs
        log.info("storage_pool_not_refreshed", pool=pool.pool.name, reason=str(error))
