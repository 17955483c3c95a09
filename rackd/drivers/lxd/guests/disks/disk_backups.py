"""Reads the disks of an instance that is off, in parts of a backup that LXD makes of each.

LXD's API has the content of a disk only in a backup: a tar archive, which LXD writes to its own disk as a whole, zeros
included, and then sends from any place on. A backup belongs to the instance or volume, and is deleted with it; what a
killed rack left is replaced by the next one, or expires.
"""

from __future__ import annotations

import io
import tarfile
import time
from datetime import UTC, datetime, timedelta

import structlog
from attrs import define, field, frozen

from common.disks.disk_content import MAX_PART_BYTES, DiskPart, ReadPart, is_zero
from common.errors import Busy, DriverFailed, HostUnreachable, InnkeeperError, NotFound, OutOfCapacity
from common.rpc.commands.host_commands import MAX_CALL_S
from common.values import GuestRef
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.lxd.connection.client import Client, FilePart, path
from rackd.drivers.lxd.connection.failures import NoSpace, Unfinished
from rackd.drivers.lxd.guests.disks import root_moves
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, is_root, source_of, volumes_of
from rackd.drivers.lxd.guests.disks.disk_moves import check_only_user
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.operation_subjects import instances_of, is_about_volume
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.power_states import power_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

NAME = "innkeeper-export"
KEPT = timedelta(days=1)  # by LXD, if Innkeeper does not delete it
_IMAGES = ("backup/virtual-machine.img", "backup/volume.img")
_MAKING = ("backing up", "backup")  # in LXD's descriptions of such operations
_OF_INSTANCE, _OF_VOLUME = "instance_only", "volume_only"  # keys of a request for a backup
_STOPPED = 102  # the status code of an instance
_END_S = 90.0  # in which a backup that LXD still makes has to end, if it is to be deleted
_SEARCH_S = 5.0  # in which zeros are read before the caller is told how far
_SEARCHED_BYTES = 4 * 1024 * 1024
_GRAIN = 64 * 1024
_MAX_MEMBERS = 1000
_HEADERS_BYTES = 64 * 1024  # read at once
_MAX_HEADER_BYTES = 1024 * 1024


@frozen(kw_only=True)
class _Backup:
    """The backup of one disk: `where` is that of all backups of the instance or volume."""

    client: Client
    where: str
    owner: str
    pool_id: str
    kind: str
    project: str
    target: str

    @classmethod
    def of(cls, instances: Instances, found: Json, pool_id: str, volume: str) -> _Backup:
        """Raises NotFound without the disk, WrongState unless the instance is off."""
        name, scope = str(found["name"]), instances.scope_of(found)
        check_off(name, power_of(int(found["status_code"])))
        device = device_of(found, pool_id, volume)
        if device is None:
            raise disk_not_found(name, volume, volumes_of(found))
        if is_root(found["expanded_devices"][device]):
            return cls(
                client=instances.client, where=path("instances", name, "backups"), owner=name, pool_id=pool_id,
                kind=_OF_INSTANCE, project=scope.project, target="",
            )  # fmt: skip
        return cls.of_volume(instances, found, pool_id, volume)

    @classmethod
    def of_volume(cls, instances: Instances, found: Json | None, pool_id: str, volume: str) -> _Backup:
        """The backup of a custom volume, also if the instance gave it up. Another instance may have it since."""
        scope = instances.scope if found is None else instances.scope_of(found)
        owner = volume if found is None else source_of(found, volume)
        return cls(
            client=instances.client, where=path("storage-pools", pool_id, "volumes", "custom", owner, "backups"),
            owner=owner, pool_id=pool_id, kind=_OF_VOLUME, project=scope.project, target=scope.member or "",
        )  # fmt: skip

    @property
    def described(self) -> str:
        return f"The backup of {self.owner} that {self.client.place} made"

    def make(self, ends_at: float) -> None:
        body = {
            "name": NAME, "expires_at": (datetime.now(UTC) + KEPT).isoformat().replace("+00:00", "Z"),
            "optimized_storage": False, "compression_algorithm": "none", self.kind: True,
        }  # fmt: skip
        self.client.post(self.where, body, wait_s=_left_s(ends_at), project=self.project, target=self.target)

    def delete(self, ends_at: float) -> None:
        """Deletes what an earlier call left, once LXD no longer writes it. Idempotent. Raises Busy if it still does."""
        own = f"{self.where}/{NAME}"
        running = self.client.get("operations", recursion="1", project=self.project) or {}
        for operation in running.get("running") or ():
            about = str(operation.get("description", "")).lower()
            if any(word in about for word in _MAKING) and self._is_subject_of(operation):
                self._wait(str(operation["id"]), ends_at)
        if self.client.find(own, project=self.project, target=self.target) is None:
            return
        try:
            self.client.delete(own, project=self.project, target=self.target)
        except NotFound:
            log.info("backup_already_deleted", of=self.owner)
        log.info("backup_deleted", of=self.owner)

    def _is_subject_of(self, operation: Json) -> bool:
        if self.kind == _OF_INSTANCE:
            return self.owner in instances_of(operation)
        return is_about_volume(operation, self.pool_id, self.owner)

    def _wait(self, operation_id: str, ends_at: float) -> None:
        try:
            self.client.wait(operation_id, _left_s(ends_at))
        except Unfinished as error:
            raise Busy(f"{self.client.place} still makes an earlier backup of {self.owner}: {error}") from error
        except DriverFailed as error:
            log.info("earlier_backup_failed", reason=str(error))

    def part(self, start: int, size: int) -> FilePart:
        """Raises Busy without the backup."""
        try:
            return self.client.part_of(
                f"{self.where}/{NAME}/export", start, size, project=self.project, target=self.target
            )
        except NotFound as error:
            raise Busy(
                f"{self.client.place} no longer has its backup of {self.owner}, from which the disk was read."
            ) from error


@frozen(kw_only=True)
class _Image:
    """The place of the disk in the archive, and the archive's size and time."""

    offset: int
    size_bytes: int
    archive_bytes: int
    changed_at: str


@define
class DiskBackups:
    """The backups of one host, and where they have the disks. Methods raise as the driver contract says.

    Each driver of the host has its own, so that a place may be that of an earlier backup.
    """

    _images: dict[str, _Image] = field(factory=dict, init=False)

    def begin(self, instances: Instances, guest: GuestRef, pool_id: str, volume: str) -> None:
        ends_at = time.monotonic() + MAX_CALL_S - _END_S  # for both: the call has no longer, and may have to delete
        found = root_moves.settled(instances, guest)
        backup = _Backup.of(instances, found, pool_id, volume)
        if backup.kind == _OF_VOLUME:
            check_only_user(instances.client, instances.scope_of(found), found, pool_id, backup.owner)
        backup.delete(ends_at)
        try:
            backup.make(ends_at)
            _check_same(found, instances.of_machine(guest), volume)
        except HostUnreachable:
            raise  # LXD may still write the backup, which the next call replaces
        except NoSpace as error:
            _try_delete(backup)
            raise OutOfCapacity(
                f"{instances.client.place} has no space for a copy of the disk {volume} of "
                f"{guest.name}, zeros included, from which the disk is read. The copy is in the folder backups of "
                f"{instances.product}, or in the volume that its setting storage.backups_volume names.",
                pool_id=pool_id,
            ) from error
        except BaseException:
            _try_delete(backup)
            raise
        self._images.pop(backup.where, None)
        log.info("backup_made", guest=guest.name, volume=volume)

    def end(self, instances: Instances, guest: GuestRef, pool_id: str, volume: str) -> None:
        found = instances.marked(name=guest.name, marker=guest.marker)
        if found is None or device_of(found, pool_id, volume) is None:
            backup = _Backup.of_volume(instances, found, pool_id, volume)
        else:
            backup = _Backup.of(instances, {**found, "status_code": _STOPPED}, pool_id, volume)
        self._images.pop(backup.where, None)
        backup.delete(time.monotonic() + _END_S)

    def read(self, instances: Instances, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        backup = _Backup.of(instances, instances.of_machine(guest), pool_id, volume)
        image = self._images.get(backup.where)
        part = _search(backup, image, start) if image is not None and 0 < start < image.size_bytes else None
        if image is None or part is None:  # by another driver of this host, another backup may have been made
            image = self._images[backup.where] = _image_in(backup)
            part = _search(backup, image, start)
        if part is None:
            raise Busy(f"Another backup of {backup.owner} was made while the disk was read.")
        if part.end >= image.size_bytes:
            self._images.pop(backup.where, None)
        state = f"{image.changed_at} {image.archive_bytes}"
        return ReadPart(part=part, size_bytes=image.size_bytes, state=state)


def _check_same(before: Json, now: Json, volume: str) -> None:
    """Raises Busy for an instance that was started since."""
    if any(before.get(key) != now.get(key) for key in ("status_code", "last_used_at")):
        raise Busy(f"{now['name']} was started while its disk {volume} was read. It is read again.")


def _search(backup: _Backup, image: _Image, start: int) -> DiskPart | None:
    """Returns the next part with data; None if the backup is another one than that of `image`. Of a disk with many
    zeros, larger parts are read.
    """
    deadline, offset, wanted = time.monotonic() + _SEARCH_S, start, MAX_PART_BYTES
    while offset < image.size_bytes:
        read = backup.part(image.offset + offset, min(wanted, image.size_bytes - offset))
        if (read.total_bytes, read.changed_at) != (image.archive_bytes, image.changed_at):
            return None
        for first in range(0, len(read.data), _GRAIN):
            if not is_zero(read.data[first : first + _GRAIN]):
                return DiskPart(start=start, offset=offset + first, data=read.data[first : first + MAX_PART_BYTES])
        offset, wanted = offset + len(read.data), _SEARCHED_BYTES
        if time.monotonic() > deadline:
            break
    return DiskPart(start=start, offset=max(start, offset))


def _image_in(backup: _Backup) -> _Image:
    """Raises DriverFailed for an archive without a disk."""
    file = _Headers(backup)
    try:
        with tarfile.open(fileobj=file, mode="r:", bufsize=tarfile.BLOCKSIZE) as archive:
            for number, member in enumerate(archive):
                if member.name in _IMAGES and member.isreg():
                    return _Image(
                        offset=member.offset_data, size_bytes=member.size, archive_bytes=file.total_bytes,
                        changed_at=file.changed_at,
                    )  # fmt: skip
                if number > _MAX_MEMBERS:
                    break
    except (tarfile.TarError, ValueError, OSError) as error:
        raise DriverFailed(f"{backup.described} cannot be read: {error}.") from error
    raise DriverFailed(f"{backup.described} has no image of a disk.")


class _Headers(io.RawIOBase):
    """The archive as a file, of which only headers are read."""

    def __init__(self, backup: _Backup) -> None:
        self._backup, self._position, self._start, self._data = backup, 0, 0, b""
        self._fetch(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.total_bytes}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes")
        found = bytearray()
        while len(found) < size and self._position < self.total_bytes:
            if not self._start <= self._position < self._start + len(self._data):
                self._fetch(self._position)
            first = self._position - self._start
            taken = self._data[first : first + size - len(found)]
            found += taken
            self._position += len(taken)
        return bytes(found)

    def _fetch(self, start: int) -> None:
        part = self._backup.part(start, _HEADERS_BYTES)
        self._start, self._data = start, part.data
        self.total_bytes, self.changed_at = part.total_bytes, part.changed_at


def _try_delete(backup: _Backup) -> None:
    try:
        backup.delete(time.monotonic() + _END_S)
    except InnkeeperError as error:
        log.warning("backup_not_deleted", of=backup.owner, reason=str(error))


def _left_s(ends_at: float) -> float:
    return max(1.0, ends_at - time.monotonic())
