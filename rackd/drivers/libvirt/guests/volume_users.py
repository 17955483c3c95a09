"""Decides which guests have a volume: the one answer before a volume is deleted, emptied, moved or attached.

A guest may have it in a drive or as firmware variables, be off, and name it by its path, its storage pool, another
path to the same file, or an image that is based on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog
from attrs import evolve, field, frozen

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound
from common.volume_names import marker_of_artifact
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Pool, Volume
from rackd.drivers.libvirt.definitions.volume_references import names_of, references, references_in_text
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_File = tuple[object, ...]  # equal for two paths of one file


@frozen
class VolumeUsers:
    """`by_guest` has what each guest refers to. A name of a volume counts at any path: it is given to one volume ever,
    so that this covers storage pools that share a folder, and folders that are symbolic links. Another name counts if
    it is the same file.
    """

    by_guest: Mapping[str, frozenset[str]]
    _identify: Callable[[str], _File | None]
    _files: dict[str, _File | None] = field(factory=dict)

    def without(self, guest: str) -> VolumeUsers:
        return evolve(self, by_guest={name: found for name, found in self.by_guest.items() if name != guest})

    def of(self, name: str, path: str | None = None) -> set[str]:
        """Returns the names of the guests that have the volume; without its path only those that name it so."""
        return {guest for guest, found in self.by_guest.items() if name in names_of(found) or self._has(found, path)}

    def of_volume(self, pool: Pool, name: str) -> set[str]:
        """Returns the same of a volume of this name in the pool, which may not exist."""
        volume = pool.volume(name)
        return self.of(name, None if volume is None else volume.path())

    def _has(self, found: Iterable[str], path: str | None) -> bool:
        others = [one for one in found if one.startswith("/") and not marker_of_artifact(one.rpartition("/")[2])]
        file = None if path is None or not others else self._file(path)
        return file is not None and any(self._file(one) == file for one in others)

    def _file(self, path: str) -> _File | None:
        if path not in self._files:
            self._files[path] = self._identify(path)
        return self._files[path]


def volume_users(client: Client) -> VolumeUsers:
    """Reads the XML of every guest: of its live and its persistent configuration.

    Of a guest whose XML is invalid, each text in it counts: so it keeps the volumes that it may use, and no others.
    """
    found: dict[str, frozenset[str]] = {}
    for domain in client.domains():
        with suppress(NotFound):  # deleted since it was listed
            found[domain.name] = _references(domain)
    return VolumeUsers(found, file_on_this_computer if client.is_local else _finder(client))


def _references(domain: Domain) -> frozenset[str]:
    return frozenset().union(*(_in_xml(xml, domain.name) for xml in {domain.xml(), domain.definition()}))


def _in_xml(xml: str, guest: str) -> frozenset[str]:
    try:
        return references(parse(xml, f"the guest {guest}"))
    except DriverFailed as error:
        log.warning("guest_not_read", guest=guest, reason=str(error))
        return references_in_text(xml)


def file_on_this_computer(path: str) -> _File | None:
    """Returns the device and number of the file at the path, behind symbolic links; of a block device its own."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return ("block", found.st_rdev) if found.st_rdev else ("file", found.st_dev, found.st_ino)


def _finder(client: Client) -> Callable[[str], _File | None]:
    """Returns what identifies a file on another computer as far as its libvirt shows it: of a volume in a folder when
    it was changed last, to the nanosecond, and its size; of a block device its path in its storage pool.
    """

    def identify(path: str) -> _File | None:
        try:
            volume: Volume | None = client.volume_at(path)
            return None if volume is None else volume.identity()
        except HostUnreachable:
            raise
        except InnkeeperError as error:
            log.info("path_not_identified", path=path, reason=str(error))
            return None

    return identify
