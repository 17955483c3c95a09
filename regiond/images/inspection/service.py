"""Checks the content of an image before it can be used: hash, packing, format, references, firmware."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attrs import frozen

from common.disks.disk_firmware import HEAD_BYTES as DISK_HEAD_BYTES
from common.disks.disk_firmware import boots_with_uefi_only
from common.guests.deployment_spec import ImageFormat
from regiond.images import content
from regiond.images.file_threads import FileThreads
from regiond.images.inspection.content_format import inspect_head
from regiond.images.inspection.lxd_metadata import parse_metadata
from regiond.images.inspection.qcow2 import HEAD_BYTES
from regiond.images.inspection.qemu_img import QemuImg
from regiond.images.inspection.unpacking import Unpacking
from regiond.images.model import BadImage, Image
from regiond.images.packing import Packing, check_filetype, is_packed
from regiond.images.space import SpaceLimit


@frozen(kw_only=True)
class Inspected:
    """The disk that was found: `path` is its file, unpacked if it was packed."""

    path: Path
    sha256: str
    size_bytes: int
    packing: Packing
    format: ImageFormat
    virtual_size_bytes: int
    uefi: bool


@frozen
class Inspection:
    """Checks images. Our own parser reads the header before qemu-img opens the file."""

    threads: FileThreads
    qemu_img: QemuImg
    unpacking: Unpacking

    async def inspect(self, image: Image, path: Path, unpacked: Path, limit: SpaceLimit) -> Inspected:
        """Checks the file at `path` as declared; returns its disk. Unpacks a packed one to `unpacked`, up to the limit.

        Raises BadImage; Unsupported if the tools are missing; content.Stopped if the region stops meanwhile.
        """
        await self._check_bytes(path, image)
        disk, sha256, packing = path, image.sha256, Packing.NONE
        if is_packed(await self._head(path)):
            found_inside = await self.unpacking.unpack(path, unpacked, limit)
            packing = found_inside.packing
            stated = parse_metadata(found_inside.metadata).architecture
            if stated and stated != image.architecture:
                raise BadImage(f"The image is for {stated}; {image.architecture} was declared.")
            disk, sha256 = unpacked, await self._sha256(unpacked)
        size_bytes = await self.threads.run(lambda: disk.stat().st_size)
        found, virtual_size_bytes = inspect_head(await self._head(disk), size_bytes, iso=image.is_iso)
        check_filetype(image.filetype, packing, found)
        reported = await self.qemu_img.virtual_size_bytes(disk, found)
        if reported != virtual_size_bytes:
            raise BadImage(f"The disk has {virtual_size_bytes} bytes in the header, and {reported} for qemu-img.")
        if found is ImageFormat.QCOW2:
            await self.qemu_img.check(disk)
        return Inspected(
            path=disk,
            sha256=sha256,
            size_bytes=size_bytes,
            packing=packing,
            format=found,
            virtual_size_bytes=virtual_size_bytes,
            uefi=not image.is_iso and boots_with_uefi_only(await self.qemu_img.disk_head(disk, found, DISK_HEAD_BYTES)),
        )

    async def _check_bytes(self, path: Path, image: Image) -> None:
        try:
            size = await self.threads.run(lambda: path.stat().st_size)
        except FileNotFoundError:
            raise BadImage("The content is missing in the region's folder of images.") from None
        if size != image.size_bytes:
            raise BadImage(f"The content has {size} bytes; {image.size_bytes} were declared.")
        found = await self._sha256(path)
        if found != image.sha256:
            raise BadImage(f"The content has the SHA-256 {found}; {image.sha256} was declared.")

    async def _head(self, path: Path) -> bytes:
        return await self.threads.run(partial(content.head_of, path, HEAD_BYTES))

    async def _sha256(self, path: Path) -> str:
        return await self.threads.run(partial(content.sha256_of, path, is_stopped=self.threads.is_stopped))
