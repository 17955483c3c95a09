"""Typed wrappers of libvirt's storage pools and volumes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import libvirt
from attrs import frozen

from common.errors import NotFound
from rackd.drivers.libvirt.connection.named_object import Connection, NamedObject
from rackd.drivers.libvirt.xml import attribute, parse, text_at

_STREAMED_BYTES = 64 * 1024
_AT_HOLE = -3  # what recvFlags returns


@frozen(kw_only=True)
class VolumeFacts:
    path: str
    capacity_bytes: int
    allocation_bytes: int


class Pool(NamedObject):
    noun = "storage pool"

    def xml(self) -> str:
        return str(self._call("read", self._handle.XMLDesc))

    def refresh(self) -> None:
        self._call("refresh", self._handle.refresh)

    def volume(self, name: str) -> Volume | None:
        try:
            return Volume(
                self._client, self._call(f"find the volume {name} in", self._handle.storageVolLookupByName, name)
            )
        except NotFound:
            return None

    def volume_definitions(self) -> Iterable[tuple[str, str]]:
        """Yields name and XML of each volume, in one call per volume and one more."""
        for volume in self._call("list the volumes of", self._handle.listAllVolumes):
            with suppress(NotFound):  # removed since it was listed
                yield volume.name(), str(self._call(f"read the volume {volume.name()} in", volume.XMLDesc))

    def volume_names(self) -> tuple[str, ...]:
        # Not `listVolumes`, which asks for their number first: libvirt refreshes a pool some time after each upload,
        # and if it finds other files meanwhile, as many names are missing.
        listed = self._call("list the volumes of", self._handle.listAllVolumes)
        return tuple(volume.name() for volume in listed)

    def create(self, xml: str, name: str) -> Volume:
        return Volume(self._client, self._call(f"create the volume {name} in", self._handle.createXML, xml))

    def clone(self, xml: str, name: str, source: Volume) -> Volume:
        """Creates a volume with the content of `source`, converted to the format in `xml`.

        Its capacity can be that of `source`, although `xml` has a larger one.
        """
        create = self._handle.createXMLFrom
        return Volume(self._client, self._call(f"create the volume {name} in", create, xml, source.handle))


class Volume(NamedObject):
    noun = "volume"

    def __init__(self, client: Connection, handle: Any) -> None:
        super().__init__(client, handle)
        self.handle = handle  # the library's own object

    def format(self) -> str:
        """Returns the format that libvirt found by its content, "" for a block device."""
        tree = parse(str(self._call("read", self.handle.XMLDesc)), f"the volume {self.name}")
        return "" if tree.get("type") == "block" else attribute(tree, "target/format", "type")

    def path(self) -> str:
        return str(self._call("find the path of", self.handle.path))

    def written_at(self) -> str:
        """Returns the time of its last change as the host has it; "" for a block device."""
        tree = parse(str(self._call("read", self.handle.XMLDesc)), f"the volume {self.name}")
        return "" if tree.get("type") == "block" else text_at(tree, "target/timestamps/mtime")

    def identity(self) -> tuple[str, ...] | None:
        """Returns what is equal for two names of one file, such as a symbolic link in its folder, and for no two files;
        of a block device its path. None if the host does not show it.
        """
        tree = parse(str(self._call("read", self.handle.XMLDesc)), f"the volume {self.name}")
        if tree.get("type") == "block":
            return ("block", self.path())
        changed_at = text_at(tree, "target/timestamps/ctime")
        sizes = (text_at(tree, "capacity"), text_at(tree, "allocation"))
        return (changed_at, text_at(tree, "target/timestamps/mtime"), *sizes) if changed_at else None

    def facts(self) -> VolumeFacts:
        _, capacity, allocation = self._call("read", self.handle.info)
        return VolumeFacts(path=self.path(), capacity_bytes=int(capacity), allocation_bytes=int(allocation))

    def capacity_bytes(self) -> int:
        return int(self._call("read", self.handle.info)[1])

    def length_bytes(self) -> int:
        """Returns how much can be read of it. Its capacity can be what its content says."""
        flag = libvirt.VIR_STORAGE_VOL_GET_PHYSICAL
        return int(self._call("read", self.handle.infoFlags, flag)[2])

    def allocation_bytes(self) -> int:
        """Returns how much space it takes in its pool."""
        return int(self._call("read", self.handle.info)[2])

    def resize(self, size_bytes: int) -> None:
        self._call("resize", self.handle.resize, size_bytes)

    def wipe(self) -> None:
        """Overwrites its content with zeros, on the host; takes as long as the host's storage needs for its size."""
        self._call("overwrite", self.handle.wipe)

    def head(self, size_bytes: int) -> bytes:
        """Returns the first bytes of the volume; fewer only if it has no more."""
        return self.read(0, size_bytes)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Returns bytes from `offset`; fewer than `size_bytes` only if it has no more."""
        stream = self._call("read", self.handle.connect().newStream)
        found = b""
        try:
            self._call("read", self.handle.download, stream, offset, size_bytes, 0)
            while len(found) < size_bytes and (part := self._call("read", stream.recv, size_bytes - len(found))):
                found += part
            self._call("read", stream.finish)
        except BaseException:
            with suppress(libvirt.libvirtError):
                stream.abort()
            raise
        return found

    def next_data(self, start: int, end: int, most_bytes: int) -> tuple[int, bytes]:
        """Returns where the next data of a file are, from `start` on, and the data up to the next hole.

        Both end at `end`: without data, it is where they would be.
        """
        flags = libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM
        stream = self._call("read", self.handle.connect().newStream)
        offset, found = start, b""
        try:
            self._call("read", self.handle.download, stream, start, end - start, flags)
            while len(found) < most_bytes and offset + len(found) < end:
                wanted = min(most_bytes, end - offset) - len(found)
                part = self._call("read", stream.recvFlags, wanted, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
                if part == _AT_HOLE:
                    if found:
                        break
                    offset += self._call("read", stream.recvHole)
                elif part:
                    found += part
                else:
                    break
        finally:  # what follows is not wanted, so the stream is not finished
            with suppress(libvirt.libvirtError):
                stream.abort()
        return (offset, found) if found else (end, b"")

    def write(self, content: bytes, *, offset: int = 0) -> None:
        self.fill((content,), len(content), offset=offset)

    def fill(self, parts: Iterable[bytes], size_bytes: int, *, offset: int = 0, holes: bool = False) -> None:
        """Uploads `parts`, which have `size_bytes` together. With `holes`, zeros take no space in the volume.

        Raises what reading `parts` raises; the volume then has some of them.
        """
        flags = libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if holes else 0
        stream = self._call("write", self.handle.connect().newStream)
        try:
            self._call("write", self.handle.upload, stream, offset, size_bytes, flags)
            for part in parts:
                for start in range(0, len(part), _STREAMED_BYTES):
                    self._send(stream, part[start : start + _STREAMED_BYTES], holes=holes)
            self._call("write", stream.finish)
        except BaseException:
            with suppress(libvirt.libvirtError):  # the stream may have ended; the original error is raised
                stream.abort()
            raise

    def _send(self, stream: Any, content: bytes, *, holes: bool) -> None:
        if holes and not content.strip(b"\0"):
            self._call("write", stream.sendHole, len(content))
            return
        while content:
            content = content[self._call("write", stream.send, content) :]

    def delete(self) -> None:
        """Raises NotFound if it no longer exists."""
        self._call("delete", self.handle.delete)
