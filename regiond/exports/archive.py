"""The archive of an export: a tar file with one qcow2 image for each disk, and `machine.json` at its end.

Everything here blocks: call it in threads.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from regiond.exports import description
from regiond.exports.disk_reader import DiskImage
from regiond.exports.disk_writer import DiskWriter
from regiond.exports.model import BadExport, MachineDescription
from regiond.requests.validation_messages import shown

_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 2**20
_FILES = f"{description.FILE}, {description.disk_file(0)}, {description.disk_file(1)} and so on"


class Stopped(Exception):
    """The region stops: the work has ended early and will be done again."""


@frozen
class Member:
    """A file of the archive: `size` bytes from `offset` on."""

    offset: int
    size: int


class ArchiveWriter:
    """Writes the archive to a new file. `is_stopped` ends long work early, by Stopped."""

    def __init__(self, path: Path, *, made_at: int, is_stopped: Callable[[], bool]) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "w+b")
        self._made_at = made_at
        self._is_stopped = is_stopped
        self._member = 0

    def begin_disk(self, size_bytes: int) -> DiskWriter:
        """The disk is written until `end_disk`."""
        self._member = self._file.tell()
        self._file.write(bytes(_BLOCK))
        return DiskWriter(self._file, size_bytes)

    def end_disk(self, disk: DiskWriter, name: str) -> tuple[int, str]:
        """Returns size and SHA-256 of the image in the archive."""
        size = disk.finish()
        self._end_member(name, size)
        self._file.flush()
        return size, sha256_of(self._file, Member(self._member + _BLOCK, size), is_stopped=self._is_stopped)

    def written_bytes(self) -> int:
        return self._file.tell()

    def finish(self, found: MachineDescription) -> tuple[int, str]:
        """Returns size and SHA-256 of the archive, which is on the disk then."""
        text = description.written(found)
        self._member = self._file.tell()
        self._file.write(bytes(_BLOCK) + text)
        self._end_member(description.FILE, len(text))
        self._file.write(bytes(2 * _BLOCK))
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        return size, sha256_of(self._file, Member(0, size), is_stopped=self._is_stopped)

    def close(self) -> None:
        """Idempotent."""
        self._file.close()

    def _end_member(self, name: str, size: int) -> None:
        self._file.write(bytes(-size % _BLOCK))
        end = self._file.tell()
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, self._made_at
        self._file.seek(self._member)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)


def sha256_of(file: BinaryIO, member: Member, *, is_stopped: Callable[[], bool]) -> str:
    """Returns the hash of a part of the file, whose position stays. Raises Stopped."""
    position, digest, left = file.tell(), hashlib.sha256(), member.size
    file.seek(member.offset)
    while left and (chunk := file.read(min(_CHUNK_BYTES, left))):
        if is_stopped():
            raise Stopped
        digest.update(chunk)
        left -= len(chunk)
    file.seek(position)
    return digest.hexdigest()


def checked(path: Path, *, sha256: str, is_stopped: Callable[[], bool]) -> MachineDescription:
    """Returns the description of an archive in which everything agrees. Raises BadExport, Stopped, OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = sha256_of(file, Member(0, size), is_stopped=is_stopped)
        if found != sha256:
            raise BadExport(f"The file has the SHA-256 {found}, not {sha256}: it was damaged on its way.")
        members = members_of(file, size)
        described = description.parsed(_text(file, members))
        for disk in described.disks:
            member = members.get(disk.file)
            if member is None:
                raise BadExport(f"The archive has no {disk.file}, which {description.FILE} names.")
            if member.size != disk.file_bytes:
                raise BadExport(f"{disk.file} has {member.size} bytes; {description.FILE} says {disk.file_bytes}.")
            if (found := sha256_of(file, member, is_stopped=is_stopped)) != disk.sha256:
                raise BadExport(f"{disk.file} has the SHA-256 {found}; {description.FILE} says {disk.sha256}.")
            try:
                DiskImage(file, member.offset, member.size).check(disk.size_bytes)
            except BadExport as error:
                raise BadExport(f"{disk.file}: {error}") from error
        if extra := sorted(set(members) - {description.FILE, *(disk.file for disk in described.disks)}):
            raise BadExport(f"The archive has {shown(extra[0])}, which {description.FILE} does not name.")
        return described


def members_of(file: BinaryIO, size: int) -> Mapping[str, Member]:
    """Returns the files of the archive by name. Accepts plain files with expected names only. Raises BadExport."""
    found: dict[str, Member] = {}
    position = 0
    while position + _BLOCK <= size:
        file.seek(position)
        block = file.read(_BLOCK)
        if not block.strip(b"\0"):
            break
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
            raise BadExport(f"The file is no tar archive, or is damaged at byte {position}: {error}.") from error
        name = header.name.removeprefix("./")
        if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise BadExport(f"The archive has {shown(name)}, which is no plain file. It has to have {_FILES}.")
        if not (name == description.FILE or description.is_disk_file(name)) or name in found:
            raise BadExport(f"The archive has {shown(name)}. It has to have {_FILES}, each once.")
        member = Member(position + _BLOCK, header.size)
        if header.size < 0 or member.offset + member.size > size:
            raise BadExport(f"The archive is cut off within {name}.")
        found[name] = member
        position = member.offset + -(-header.size // _BLOCK) * _BLOCK
    return found


def _text(file: BinaryIO, members: Mapping[str, Member]) -> bytes:
    member = members.get(description.FILE)
    if member is None:
        raise BadExport(f"The archive has no {description.FILE}. It has to have {_FILES}.")
    if member.size > description.MAX_BYTES:
        raise BadExport(f"{description.FILE} has {member.size} bytes; the most are {description.MAX_BYTES}.")
    file.seek(member.offset)
    return file.read(member.size)
