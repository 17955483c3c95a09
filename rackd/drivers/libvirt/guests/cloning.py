"""Fills the disks of a new domain with copies of those of another one, which is off."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import structlog
from attrs import frozen

from common.errors import Busy
from common.guests.guest_content import DiskSource, GuestContent
from common.guests.guest_spec import GuestSpec
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.addresses import cloud_init_seed
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.firmware_xml import has_uefi, set_uefi
from rackd.drivers.libvirt.definitions.metadata import keep_uefi, keeps_uefi
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.disk_moves import check_no_dependents, copy_of, source_in, source_of
from rackd.drivers.libvirt.guests.disks.pools import guest_pool, refresh
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element, parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen
class _Source:
    volume: Volume
    written_at: str


class CopiedContent:
    """The content of the source's disks, and the kind of its firmware."""

    def __init__(self, client: Client, content: GuestContent) -> None:
        self._client = client
        self._content = content
        self._sources: dict[str, _Source] = {}  # by the name of the copy
        self._has_uefi = self._keeps_uefi = False

    def prepare(self, client: Client, spec: GuestSpec) -> None:
        domain, definition = self._source()
        self._has_uefi, self._keeps_uefi = has_uefi(definition), keeps_uefi(definition)
        for pool_id in sorted({disk.pool_id for disk in self._content.disks if disk is not None}):
            refresh(guest_pool(client, pool_id))
        for disk, source in zip(spec.disks, self._content.disks, strict=True):
            if source is not None:
                self._sources[disk.volume] = self._read(domain, definition, source)
        for disk in spec.disks:  # an earlier attempt may have left a part of one, which looks complete
            pool = guest_pool(client, disk.pool_id)
            if volumes.delete_from(pool.pool, disk.volume):
                log.warning("incomplete_copy_deleted", volume=disk.volume, pool=pool.pool.name)

    def make(self, target: volumes.DiskTarget) -> Volume | None:
        """A copy that is not complete is deleted here: nobody else knows of it yet."""
        source = self._sources.get(target.disk.volume)
        if source is None:
            return None
        size_bytes = max(target.disk.size_bytes, source.volume.capacity_bytes())
        try:
            made = copy_of(target.pool, target.disk, size_bytes, source.volume)
        except Exception:
            volumes.undo([one for one in [target.pool.pool.volume(target.disk.volume)] if one is not None])
            raise
        log.info("disk_copied", volume=source.volume.name, copy=target.disk.volume, pool=target.pool.pool.name)
        return made

    def seed(self) -> bytes | None:
        seed = self._content.seed
        return None if seed is None else cloud_init_seed.image(cloud_init_seed.deployment_files(seed))

    def definition(self, xml: str) -> str:
        domain, _ = self._source()
        for one in self._sources.values():
            if one.volume.written_at() != one.written_at:
                raise Busy(f"{domain.name} was started while its disks were copied. They are copied again.")
        if not self._has_uefi:
            return xml
        tree = parse(xml, "the new guest")
        set_uefi(tree)
        if self._keeps_uefi:
            keep_uefi(tree)
        return ET.tostring(tree, encoding="unicode")

    def _source(self) -> tuple[Domain, Element]:
        """Returns the domain, which is off, and its definition."""
        source = self._content.source
        domain = required_guest(marked_domain(self._client, source), source)
        check_off(domain.name, power_of(domain.state()))
        return domain, definition_of(domain)

    def _read(self, domain: Domain, definition: Element, source: DiskSource) -> _Source:
        pool = guest_pool(self._client, source.pool_id)
        disk = source_in(domain, definition, self._client, source.pool_id, source.volume)
        volume = source_of(pool, disk, domain, source.volume)
        check_no_dependents(self._client, pool, source.volume, "be copied")
        return _Source(volume=volume, written_at=volume.written_at())
