"""Recognizes the kind of an image by the first bytes of its file. Pure."""

from __future__ import annotations

from common.guests.deployment_spec import ImageFormat
from regiond.images.inspection import qcow2
from regiond.images.inspection.qcow2 import MAX_VIRTUAL_BYTES
from regiond.images.model import BadImage

SECTOR_BYTES = 512
_DESCRIPTORS_AT = 16 * 2048  # the first sectors of an ISO image are unused
_BOOT_SIGNATURE = b"\x55\xaa"  # at the end of the first sector: a partition table, also the protective one of a GPT
_ACCEPTED = "Accepted are qcow2 images and raw images of a disk, also packed with gzip, xz, bzip2 or tar."
# Files that people upload by mistake: position of the mark, its bytes, name.
_OTHERS = (
    (0, b"\x1f\x8b", "a gzip file within the file: pack it once"),
    (0, b"\xfd7zXZ\x00", "an xz file within the file: pack it once"),
    (0, b"BZh", "a bzip2 file within the file: pack it once"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file: decompress it"),
    (0, b"PK\x03\x04", "a zip file: unpack it"),
    (257, b"ustar", "an archive within the file: pack it once"),
    (0, b"hsqs", "a squashfs file system, not a disk"),
    (0, b"KDMV", "a VMDK image: convert it with qemu-img convert -O qcow2"),
    (0, b"# Disk DescriptorFile", "a VMDK description: convert it with qemu-img convert -O qcow2"),
    (0, b"conectix", "a VHD image: convert it with qemu-img convert -O qcow2"),
    (0, b"vhdxfile", "a VHDX image: convert it with qemu-img convert -O qcow2"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image: convert it with qemu-img convert -O qcow2"),
    (0, b"QED\x00", "a QED image: convert it with qemu-img convert -O qcow2"),
    (0, b"\x7fELF", "a program"),
)


def inspect_head(head: bytes, file_bytes: int, *, iso: bool = False) -> tuple[ImageFormat, int]:
    """Returns the format and the size of the disk in bytes. With `iso`, the content has to be an ISO 9660 image.

    `head` are the first `qcow2.HEAD_BYTES` of the file, or all of it. Raises BadImage, which names the kind found.
    """
    if iso:
        return _inspect_iso(head, file_bytes)
    if head.startswith(qcow2.MAGIC):
        return ImageFormat.QCOW2, qcow2.parse_header(head, file_bytes).virtual_size_bytes
    for position, magic, name in _OTHERS:
        if head[position : position + len(magic)] == magic:
            raise BadImage(f"The content is {name}. {_ACCEPTED}")
    if _is_iso(head) and head[SECTOR_BYTES - 2 : SECTOR_BYTES] != _BOOT_SIGNATURE:
        raise BadImage("The content is an ISO image, not the disk of an operating system. Add it with filetype=iso.")
    if head[SECTOR_BYTES - 2 : SECTOR_BYTES] != _BOOT_SIGNATURE:
        raise BadImage(
            f"The content begins with {head[:8].hex(' ') or 'nothing'}: neither a qcow2 image nor a disk with "
            f"partitions. {_ACCEPTED}"
        )
    if file_bytes % SECTOR_BYTES:
        raise BadImage(f"The raw image is cut off: {file_bytes} bytes are no whole sectors of {SECTOR_BYTES}.")
    if file_bytes > MAX_VIRTUAL_BYTES:
        raise BadImage(f"The raw image has {file_bytes} bytes; the most are {MAX_VIRTUAL_BYTES}.")
    return ImageFormat.RAW, file_bytes


def _is_iso(head: bytes) -> bool:
    """Returns whether the first descriptor of volumes is that of ISO 9660, or of UDF alone."""
    return head[_DESCRIPTORS_AT + 1 : _DESCRIPTORS_AT + 6] in {b"CD001", b"BEA01"}


def _inspect_iso(head: bytes, file_bytes: int) -> tuple[ImageFormat, int]:
    if not _is_iso(head):
        raise BadImage("The content is no ISO image: it has no descriptor of ISO 9660 or UDF. Leave the file type out.")
    if file_bytes % SECTOR_BYTES:
        raise BadImage(f"The ISO image is cut off: {file_bytes} bytes are no whole sectors of {SECTOR_BYTES}.")
    if file_bytes > MAX_VIRTUAL_BYTES:
        raise BadImage(f"The ISO image has {file_bytes} bytes; the most are {MAX_VIRTUAL_BYTES}.")
    return ImageFormat.RAW, file_bytes
