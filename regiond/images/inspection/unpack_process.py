"""A separate program: unpacks the disk of an image from standard input to standard output.

Standard output is a regular file. The program is run with `python -I` and limited, because its input is not trusted; it
imports nothing of Innkeeper and opens no file. Names in an archive are compared, never used as names of files. Errors
and results are one line of JSON on standard error: `{"compression", "archive", "metadata"}`, or `{"error"}` with one of
the codes below.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import zlib
from typing import IO, Any

BLOCK_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 65536
MAX_MEMBERS = 1000
DISK_MEMBER = "rootfs.img"
METADATA_MEMBER = "metadata.yaml"


class Refused(Exception):
    """The code of the problem: `damaged`, `too_large`, `disk_full`, `no_disk`, `several_files`, `container`.

    `metadata` is the description in an archive that has no disk.
    """

    def __init__(self, code: str, metadata: str | None = None) -> None:
        super().__init__(code)
        self.metadata = metadata


def unpack(source: io.BufferedReader, target: int) -> dict[str, Any]:
    """Writes the disk to the file and returns what was found. Raises Refused."""
    compression, stream = _decompressed(source)
    head = io.BufferedReader(_Rest(stream), BLOCK_BYTES)
    is_archive = head.peek(512)[257:262] == b"ustar"
    metadata = None
    if is_archive:
        metadata = _unpack_archive(head, target)
    else:
        _copy(head, target)
    return {"compression": compression, "archive": is_archive, "metadata": metadata}


class _Rest(io.RawIOBase):
    """A stream of decompressed data, in the form that io.BufferedReader takes."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _decompressed(source: io.BufferedReader) -> tuple[str, io.BufferedIOBase]:
    magic = source.peek(6)[:6]
    if magic.startswith(b"\x1f\x8b"):
        return "gzip", gzip.GzipFile(fileobj=source)
    if magic == b"\xfd7zXZ\x00":
        return "xz", lzma.LZMAFile(source)
    if magic.startswith(b"BZh"):
        return "bzip2", bz2.BZ2File(source)
    return "", source


def _unpack_archive(stream: IO[bytes], target: int) -> str | None:
    """Writes LXD's disk, or else the only file. Returns the text of LXD's description; None if there is none."""
    metadata: str | None = None
    has_lxd_disk = False
    files = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for number, member in enumerate(archive):
            name = member.name.removeprefix("./")
            if number >= MAX_MEMBERS:
                raise Refused("several_files")
            if name.startswith("rootfs/") or name == "rootfs.squashfs":
                raise Refused("container")
            if name == METADATA_MEMBER and member.isreg():
                metadata = _content(archive, member).read(MAX_METADATA_BYTES).decode("utf-8", "replace")
            elif member.isreg():
                files += 1
                if name == DISK_MEMBER or files == 1:
                    os.ftruncate(target, 0)
                    _copy(_content(archive, member), target)
                has_lxd_disk = has_lxd_disk or name == DISK_MEMBER
    if not has_lxd_disk and (files == 0 or metadata is not None):
        raise Refused("no_disk", metadata)
    if not has_lxd_disk and files > 1:
        raise Refused("several_files")
    return metadata


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    found = archive.extractfile(member)
    if found is None:
        raise Refused("damaged")
    return found


def _copy(stream: IO[bytes], target: int) -> None:
    """Copies the data; blocks of zeros become holes in the file. Ends the program if its parent has ended."""
    size = 0
    caller = os.getppid()
    zeros = bytes(BLOCK_BYTES)
    while data := stream.read(BLOCK_BYTES):
        if os.getppid() != caller:
            raise SystemExit(1)
        if data == zeros[: len(data)]:
            os.ftruncate(target, size + len(data))
        else:
            _write(target, data, size)
        size += len(data)


def _write(target: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, offset)
        view, offset = view[written:], offset + written


def _code(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "too_large"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "disk_full"
    return "damaged"


def main() -> int:
    try:
        result = unpack(io.BufferedReader(io.FileIO(0, closefd=False)), 1)
        os.fdatasync(1)
    except Refused as error:
        result = {"error": str(error), "metadata": error.metadata}
    except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, ValueError, MemoryError) as error:
        result = {"error": _code(error), "reason": f"{type(error).__name__}: {error}"[:200]}
    sys.stderr.write(json.dumps(result) + "\n")
    return 1 if "error" in result else 0


if __name__ == "__main__":
    sys.exit(main())
