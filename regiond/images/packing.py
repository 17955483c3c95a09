"""The packings of a disk in an uploaded file, and the names of file types. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from common.guests.deployment_spec import ImageFormat
from regiond.images.model import ISO_FILETYPE, BadImage

_TAR_MAGIC = (257, b"ustar")
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}


class Packing(StrEnum):
    """The packing of a disk. NONE: the file is the disk. An archive has one disk; LXD's also describe the image."""

    NONE = "none"
    GZIP = "gzip"
    XZ = "xz"
    BZIP2 = "bzip2"
    TAR = "tar"
    TAR_GZIP = "tar+gzip"
    TAR_XZ = "tar+xz"
    TAR_BZIP2 = "tar+bzip2"


@frozen
class FileType:
    """The packings that a declared file type permits, and the format of the disk inside; None: any."""

    packings: frozenset[Packing]
    format: ImageFormat | None


def _of(packing: Packing, image_format: ImageFormat = ImageFormat.RAW) -> FileType:
    return FileType(frozenset({packing}), image_format)


_ARCHIVES = frozenset({Packing.TAR, Packing.TAR_GZIP, Packing.TAR_XZ, Packing.TAR_BZIP2})
# MAAS's names for the disk of a machine, and two that MAAS lacks.
FILE_TYPES: Mapping[str, FileType] = {
    "ddraw": _of(Packing.NONE),
    "ddgz": _of(Packing.GZIP),
    "ddxz": _of(Packing.XZ),
    "ddbz2": _of(Packing.BZIP2),
    "ddtar": _of(Packing.TAR),
    "ddtgz": _of(Packing.TAR_GZIP),
    "ddtxz": _of(Packing.TAR_XZ),
    "ddtbz": _of(Packing.TAR_BZIP2),
    "qcow2": _of(Packing.NONE, ImageFormat.QCOW2),
    "lxd": FileType(_ARCHIVES, None),
    ISO_FILETYPE: _of(Packing.NONE),  # for the drive of a machine; racks know it as a raw disk
}
ROOT_FILE_SYSTEMS = ("tgz", "tbz", "txz", "squashfs")  # MAAS's names of files without a disk from which a VM boots


def is_packed(head: bytes) -> bool:
    """Returns whether the disk has to be unpacked; `head` is the first 512 bytes of the file, or all of it."""
    position, magic = _TAR_MAGIC
    return any(head.startswith(one) for one in _COMPRESSIONS) or head[position : position + len(magic)] == magic


def packing_named(compression: str, *, is_archive: bool) -> Packing:
    """Returns the packing. `compression` is `gzip`, `xz`, `bzip2` or empty. Raises ValueError for another."""
    if not is_archive:
        return Packing(compression or Packing.NONE)
    return Packing(f"tar+{compression}" if compression else Packing.TAR)


def check_filetype(filetype: str, packing: Packing, found: ImageFormat) -> None:
    """Raises BadImage if another packing or format was declared; empty declares nothing."""
    declared = FILE_TYPES.get(filetype)
    if declared is None:
        return
    if packing not in declared.packings or declared.format not in {None, found}:
        packed = "" if packing is Packing.NONE else f", packed with {packing}"
        raise BadImage(f"The content is a {found} image{packed}; {filetype} was declared. Leave the file type out.")
