"""Puts ISO images into the drive of a domain, and takes them out, also while it runs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import structlog

from common.boot import IsoState
from common.errors import DriverFailed, ImageMissing, Unsupported, WrongState
from common.values import PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.iso_drive_xml import (
    Medium,
    add_drive,
    drive_of,
    drive_with_ours,
    iso_of,
    set_medium,
)
from rackd.drivers.libvirt.deployment.images import find_volume
from rackd.drivers.libvirt.guests.disks.pools import guest_pool
from rackd.drivers.libvirt.guests.live_devices import live_of
from rackd.drivers.libvirt.guests.lookup import definition_of
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def insert(client: Client, domain: Domain, sha256: str, pool_id: str, *, check_only: bool) -> IsoState:
    """Returns what is in the drive. Raises as the driver contract says.

    The definition gets a drive if it has none. A running domain takes another medium, but no new drive: a PC cannot
    plug one.
    """
    pool = guest_pool(client, pool_id)
    definition = definition_of(domain)
    if check_only:
        return _state(domain, definition)
    volume = find_volume(pool, sha256)
    if volume is None:
        raise ImageMissing(f"The storage pool {pool.pool.name} lacks the image {sha256[:12]}.")
    medium = Medium(path=volume.path(), block=pool.has_block_devices)
    drive = drive_of(definition)
    if set_medium(add_drive(definition) if drive is None else drive, medium):
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
        log.info("iso_inserted", guest=domain.name, sha256=sha256)
    live = live_of(domain)
    if live is not None and (running := drive_of(live)) is not None:
        _change_running(domain, running, medium)
    return _state(domain, definition)


def eject(client: Client, domain: Domain) -> IsoState:
    """Returns what is in the drive, which stays. Raises WrongState if the running domain keeps the image."""
    live = live_of(domain)
    running = None if live is None else drive_with_ours(live)
    if running is not None and not _change_running(domain, running, None):
        raise WrongState(f"{domain.name} has the ISO image until it is off: its host cannot take it out now.")
    definition = definition_of(domain)
    drive = drive_with_ours(definition)
    if drive is not None and set_medium(drive, None):
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
        log.info("iso_ejected", guest=domain.name)
    return _state(domain, definition)


def _change_running(domain: Domain, drive: Element, medium: Medium | None) -> bool:
    """Returns whether the running domain has the medium."""
    if not set_medium(drive, medium):
        return True
    try:
        domain.change_live(ET.tostring(drive, encoding="unicode"))
    except (DriverFailed, Unsupported) as error:
        log.info("medium_not_changed_while_running", guest=domain.name, reason=str(error))
        return False
    return True


def _state(domain: Domain, definition: Element) -> IsoState:
    live = live_of(domain)
    after = iso_of(definition)
    return IsoState(
        now=after if live is None else iso_of(live), after=after, runs=power_of(domain.state()) is not PowerState.OFF
    )
