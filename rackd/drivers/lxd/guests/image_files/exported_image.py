"""Finds the size of the disk in the beginning of an image that LXD exports. Pure.

LXD sends an image in two files as a multipart body, metadata first, and one in one file as a tar archive, mostly
compressed. LXD's API has no other source for the size, which is in the head of the qcow2 file.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEAD_BYTES = 32
_SIZE_AT = 24
_HEADERS_END = b"\r\n\r\n"
_DISK = "rootfs.img"
_MAX_BEFORE_DISK = 4 * 1024 * 1024  # what is unpacked of other files in the archive
_MAX_MEMBERS = 1000


def disk_bytes(beginning: bytes) -> int | None:
    """Returns None if the disk does not begin there, or is in a format that is not read here."""
    if beginning.startswith(b"--"):
        return _in_parts(beginning)
    return _in_archive(beginning)


def _in_parts(body: bytes) -> int | None:
    boundary = body[: body.find(b"\r\n")]
    for part in body.split(boundary)[1:]:
        headers, _, content = part.partition(_HEADERS_END)
        if _DISK.encode() in headers:
            return _size_in(content[:_QCOW2_HEAD_BYTES])
    return None


def _in_archive(beginning: bytes) -> int | None:
    before = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(beginning), mode="r|*") as archive:
            for number, member in enumerate(archive):
                if member.name.removeprefix("./") == _DISK and member.isfile():
                    file = archive.extractfile(member)
                    return None if file is None else _size_in(file.read(_QCOW2_HEAD_BYTES))
                before += member.size
                if before > _MAX_BEFORE_DISK or number > _MAX_MEMBERS:
                    return None
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError):
        return None  # squashfs, zstd, or the disk begins later
    return None


def _size_in(head: bytes) -> int | None:
    if len(head) < _QCOW2_HEAD_BYTES or not head.startswith(_QCOW2_MAGIC):
        return None
    return int.from_bytes(head[_SIZE_AT : _SIZE_AT + 8], "big") or None
