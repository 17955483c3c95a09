"""The serial log and cloud-init seed of a domain, which are in the storage pool of its root disk.

When that disk moves, they go with it: a deletion of the machine looks for them there. The seed is copied, and the log
begins anew.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import structlog

from common.disks.volume_names import seed_name, serial_log_name, with_kept_logs
from common.errors import DriverFailed
from common.values import OwnershipMarker
from rackd.drivers.libvirt.definitions.boot_order import is_disk
from rackd.drivers.libvirt.definitions.disk_xml import path_of, set_source
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.pools import GuestPool
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def move(definition: Element, moved: Element, old: GuestPool, new: GuestPool, marker: OwnershipMarker) -> None:
    """Makes both in the new pool and writes them to the definition, if `moved` is the root disk. Deletes nothing."""
    root = next((disk for disk in definition.iterfind("devices/disk") if is_disk(disk)), None)
    if root is not moved:
        return
    for drive in _seed_drives(definition, marker):
        seed = old.volume(seed_name(marker))
        if seed is not None and path_of(drive) == seed.path():
            content = seed.read(0, seed.length_bytes())
            prepared = volumes.create_seed(new, marker, content, created=[])
            set_source(drive, prepared.path, block=prepared.block)
    for port in definition.iterfind("devices/*[log]"):
        for found in port.findall("log"):
            if PurePosixPath(found.get("file", "")).name != serial_log_name(marker):
                continue
            path = volumes.create_serial_log(new, marker, created=[])
            if path is None:
                port.remove(found)
            else:
                found.set("file", path)


def delete_old(definition: Element, old: GuestPool, new: GuestPool, marker: OwnershipMarker) -> None:
    """Deletes those in the old pool that the definition does not use. Idempotent."""
    if old.pool.name == new.pool.name:
        return
    used = {path_of(drive) for drive in _seed_drives(definition, marker)}
    used |= {log.get("file", "") for log in definition.iterfind("devices/*/log")}
    names = (seed_name(marker), *with_kept_logs(serial_log_name(marker)))
    try:
        old.pool.refresh()  # shows the older parts of the serial log
    except DriverFailed as error:
        log.info("storage_pool_not_refreshed", pool=old.pool.name, reason=str(error))
    found = [volume for volume in map(old.pool.volume, names) if volume is not None]
    if any(volume.path() in used for volume in found):
        return  # the root disk is still here
    volumes.undo(found)


def _seed_drives(definition: Element, marker: OwnershipMarker) -> list[Element]:
    name = seed_name(marker)
    return [drive for drive in definition.iterfind("devices/disk") if PurePosixPath(path_of(drive)).name == name]
