"""Copies a disk of a running domain by a block job, and makes it use the copy.

The job belongs to QEMU: it survives this rack and libvirtd, and ends with the domain. From when it is ready on, QEMU
writes to both volumes, until the domain uses the copy. libvirt then writes the copy to both configurations.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from xml.etree import ElementTree as ET

import structlog

from common.disks.disk_content import CopiedDisk
from common.disks.volume_names import marker_of_volume
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, Unsupported, WrongState
from common.guests.guest_spec import DiskSpec
from common.values import OwnershipMarker
from rackd.drivers.disk_moves import changed_since
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.boot_order import is_disk
from rackd.drivers.libvirt.definitions.disk_xml import path_of, set_raw_source, set_source
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.pools import GuestPool
from rackd.drivers.libvirt.guests.live_devices import live_of
from rackd.drivers.libvirt.guests.lookup import definition_of, disk_at, pool_paths
from rackd.drivers.libvirt.guests.power import POLL_EVERY_S
from rackd.drivers.libvirt.xml import Element, attribute

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CALL_S = 5.0  # a call that copies returns then, with what is copied so far
STATE = "mirrored"


def check_not_root(domain: Domain, live: Element, disk: Element) -> None:
    """Raises WrongState for the root disk: QEMU has the serial log and the cloud-init seed open, which go with it."""
    root = next((one for one in live.iterfind("devices/disk") if is_disk(one)), None)
    if disk is root:
        raise WrongState(
            f"{domain.name} is not off: its first disk moves only then, with its serial log and cloud-init data. Shut "
            "it down first.",
            name=domain.name,
        )


def is_copied_to(disk: Element, copy: Volume | None) -> bool:
    """Returns whether a job copies the disk to this volume."""
    mirror = disk.find("mirror")
    return copy is not None and mirror is not None and path_of(mirror) == copy.path()


def check_no_other_job(domain: Domain, disk: Element, volume: str) -> None:
    """Raises WrongState if the domain does something else with the disk."""
    if disk.find("mirror") is not None:
        raise WrongState(
            f"{domain.name} has another block job on the disk {volume}. See: virsh blockjob {domain.name} "
            f"{attribute(disk, 'target', 'dev')}",
            name=domain.name,
        )


def start(domain: Domain, disk: Element, volume: str, pool: GuestPool, copy: DiskSpec, size_bytes: int) -> None:
    """Makes the empty volume `copy` and begins the job. Raises with no copy left."""
    if volumes.delete_from(pool.pool, copy.volume):
        log.warning("incomplete_copy_deleted", volume=copy.volume, pool=pool.pool.name)
    volumes.check_fits(pool.pool, size_bytes, pool.available_bytes(size_bytes), "The copy needs")
    made = pool.pool.create(volume_xml(copy.volume, size_bytes, pool.type), copy.volume)
    kind = "block" if pool.has_block_devices else "file"
    target = ET.Element("disk", type=kind)
    ET.SubElement(target, "driver", name="qemu", type="raw")
    set_source(target, made.path(), block=pool.has_block_devices)
    try:
        domain.copy_block(attribute(disk, "target", "dev"), ET.tostring(target, encoding="unicode"))
    except HostUnreachable:
        raise  # the job may run; the next attempt finds it
    except InnkeeperError as error:
        volumes.undo([made])
        if not isinstance(error, DriverFailed | Unsupported):
            raise
        if not domain.is_active():
            raise changed_since(domain.name, volume) from error
        raise WrongState(
            f"{domain.name} does not copy its disk {volume} while it runs: {error}. It moves while {domain.name} is "
            "off.",
            name=domain.name,
        ) from error
    log.info("live_copy_started", guest=domain.name, volume=volume, copy=copy.volume, pool=pool.pool.name)


def progress(
    client: Client, domain: Domain, place: tuple[str, str], copy: DiskSpec, *, closing: threading.Event
) -> CopiedDisk:
    """Returns within seconds what the job has copied; complete once QEMU writes to both volumes.

    Raises Busy if the domain was shut down, DriverFailed if the job has failed.
    """
    ends_at, paths = time.monotonic() + CALL_S, pool_paths(client)
    while True:
        live = live_of(domain)
        if live is None:
            raise changed_since(domain.name, place[1])
        disk = disk_at(live, paths, place)
        mirror = None if disk is None else disk.find("mirror")
        if disk is None or mirror is None:
            if not domain.is_active():
                raise changed_since(domain.name, place[1])
            raise DriverFailed(
                f"{domain.name} has ended the copy of its disk {place[1]} to {copy.volume}: the storage pool is full, "
                "or one of the volumes has an error, which the log of its QEMU names.",
                volume=copy.volume,
            )
        if mirror.get("ready") == "yes":
            return CopiedDisk(state=STATE, percent=100)
        if time.monotonic() >= ends_at:
            done, of = domain.block_job(attribute(disk, "target", "dev"))
            percent = min(99, done * 100 // max(1, of))
            return CopiedDisk(state=STATE, percent=percent, done_bytes=done, is_complete=False)
        if closing.wait(POLL_EVERY_S):
            raise HostUnreachable(f"This rack closed the connection while {domain.name} copied its disk.")


def use(client: Client, domain: Domain, live: Element, place: tuple[str, str], copy: Volume, *, block: bool) -> None:
    """Makes the running domain use the complete copy, also after its next start. Idempotent.

    Raises Busy, which asks for another copy, if no job has made it.
    """
    paths = pool_paths(client)
    disk = disk_at(live, paths, place)
    if disk is not None:
        mirror = disk.find("mirror")
        if mirror is None or not is_copied_to(disk, copy) or mirror.get("ready") != "yes":
            raise changed_since(domain.name, place[1])
        domain.end_block_job(attribute(disk, "target", "dev"), pivot=True)
        _check_used(domain, copy)
    definition = definition_of(domain)
    old = disk_at(definition, paths, place)
    if old is not None:  # libvirt changes it itself, unless it was changed beside it
        set_raw_source(old, copy.path(), block=block)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)


def abandon(client: Client, copies: Collection[str]) -> None:
    """Ends the jobs that copy to volumes of these names, which are disks of no guest. Idempotent.

    Reads each running domain once: a copy is named after the machine for which the disk was made, but another one may
    have the disk since.
    """
    if not copies:
        return
    for domain in client.domains():
        live = live_of(domain)
        for disk in () if live is None else live.iterfind("devices/disk"):
            mirror = disk.find("mirror")
            copy = "" if mirror is None else path_of(mirror).rpartition("/")[2]
            if copy in copies:
                domain.end_block_job(attribute(disk, "target", "dev"), pivot=False)
                log.info("live_copy_abandoned", guest=domain.name, copy=copy)


def may_be_copy(volume: str, marker: OwnershipMarker | None) -> bool:
    """Returns whether a job of ours can copy to the volume: it is a disk that is named after the machine."""
    return marker is not None and marker_of_volume(volume) == marker


def _check_used(domain: Domain, copy: Volume) -> None:
    live = live_of(domain)
    used = live is None or any(
        path_of(disk) == copy.path() and disk.find("mirror") is None for disk in live.iterfind("devices/disk")
    )
    if not used:
        raise DriverFailed(f"{domain.name} does not use {copy.name} yet, although libvirt has ended the copy.")
