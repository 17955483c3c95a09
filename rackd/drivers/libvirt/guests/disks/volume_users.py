"""Decides which guests have a volume, before it is deleted, emptied, moved or attached.

A guest may have it in a drive or as firmware variables, be off, and name it by its path, its storage pool, another
path to the same file, or an image that is based on it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property

import structlog

from common.disks.volume_names import marker_of_artifact
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Pool, Volume
from rackd.drivers.libvirt.definitions.volume_references import names_of, references, references_in_text
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_File = tuple[object, ...]  # equal for two paths of one file


class VolumeUsers:
    """The guests that have volumes. The name of a volume counts at any path: it is given to one volume ever, so that
    this covers storage pools that share a folder, and folders that are symbolic links. Another name counts if it is the
    same file.
    """

    def __init__(self, by_guest: Mapping[str, Iterable[str]], identify: Callable[[str], _File | None]) -> None:
        """`by_guest` has what each guest refers to; `identify` returns what is equal for two paths of one file."""
        self._identify = identify
        self._by_name: defaultdict[str, set[str]] = defaultdict(set)
        self._by_path: defaultdict[str, set[str]] = defaultdict(set)
        for guest, found in by_guest.items():
            for name in names_of(found):
                self._by_name[name].add(guest)
            for one in found:
                if one.startswith("/") and marker_of_artifact(one.rpartition("/")[2]) is None:
                    self._by_path[one].add(guest)

    def of(self, name: str, path: str | None = None) -> set[str]:
        """Returns the guests that have the volume; without its path only those that name it so."""
        found = set(self._by_name.get(name, ()))
        if path is not None and self._by_file:
            file = self._identify(path)
            found |= set() if file is None else self._by_file.get(file, set())
        return found

    def of_volume(self, pool: Pool, name: str) -> set[str]:
        """Returns the same of a volume of this name in the pool, which may not exist."""
        volume = pool.volume(name)
        return self.of(name, None if volume is None else volume.path())

    @cached_property
    def _by_file(self) -> Mapping[_File, set[str]]:
        found: defaultdict[_File, set[str]] = defaultdict(set)
        for path, guests in self._by_path.items():
            file = self._identify(path)
            if file is not None:
                found[file] |= guests
        return found


def volume_users(client: Client) -> VolumeUsers:
    """Reads the XML of every guest: of its live and its persistent configuration.

    Of a guest whose XML is invalid, each text in it counts: so it keeps the volumes that it may use, and no others.
    """
    found: dict[str, frozenset[str]] = {}
    for domain in client.domains():
        with suppress(NotFound):  # deleted since it was listed
            found[domain.name] = _references(domain)
    return VolumeUsers(found, file_on_this_computer if client.is_local else _finder(client))


def users_in(client: Client, by_guest: Mapping[str, Iterable[str]]) -> VolumeUsers:
    """Returns the same from what is known of the guests, without a call: on another computer without other names."""
    return VolumeUsers(by_guest, file_on_this_computer if client.is_local else lambda _: None)


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
