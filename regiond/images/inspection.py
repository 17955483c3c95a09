"""Checks the content of an image before it can be used: size, hash, format, references, tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attrs import frozen

from common.deployment_spec import ImageFormat
from regiond.images import content
from regiond.images.content_format import inspect_head
from regiond.images.declaration import FORMATS
from regiond.images.file_threads import FileThreads
from regiond.images.model import BadImage, Image
from regiond.images.qcow2 import HEAD_BYTES
from regiond.images.qemu_img import QemuImg


@frozen(kw_only=True)
class Inspected:
    """What was found."""

    format: ImageFormat
    virtual_size_bytes: int


@frozen
class Inspection:
    """Our own parser reads the header before qemu-img opens the file."""

    threads: FileThreads
    qemu_img: QemuImg

    async def inspect(self, path: Path, image: Image) -> Inspected:
        """Raises BadImage; Unsupported if the tools are missing; content.Stopped if the region stops meanwhile."""
        await self._check_bytes(path, image)
        head = await self.threads.run(partial(content.head_of, path, HEAD_BYTES))
        found, virtual_size_bytes = inspect_head(head, image.size_bytes)
        check_filetype(image.filetype, found)
        reported = await self.qemu_img.virtual_size_bytes(path, found)
        if reported != virtual_size_bytes:
            raise BadImage(f"The disk has {virtual_size_bytes} bytes in the header, and {reported} for qemu-img.")
        if found is ImageFormat.QCOW2:
            await self.qemu_img.check(path)
        return Inspected(format=found, virtual_size_bytes=virtual_size_bytes)

    async def _check_bytes(self, path: Path, image: Image) -> None:
        try:
            size = await self.threads.run(lambda: path.stat().st_size)
        except FileNotFoundError:
            raise BadImage("The content is missing in the region's folder of images.") from None
        if size != image.size_bytes:
            raise BadImage(f"The content has {size} bytes; {image.size_bytes} were declared.")
        found = await self.threads.run(partial(content.sha256_of, path, is_stopped=self.threads.is_stopped))
        if found != image.sha256:
            raise BadImage(f"The content has the SHA-256 {found}; {image.sha256} was declared.")


def check_filetype(filetype: str, found: ImageFormat) -> None:
    """Raises BadImage if another format was declared."""
    if filetype and FORMATS[filetype] is not found:
        raise BadImage(f"The content is a {found} image; {filetype} ({FORMATS[filetype]}) was declared.")
