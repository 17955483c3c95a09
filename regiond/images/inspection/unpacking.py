"""Unpacks compressed images and archives, in a limited process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from common.errors import Unsupported
from regiond.images.file_threads import FileThreads
from regiond.images.inspection import unpack_process
from regiond.images.inspection.limited_process import OpenFiles, ProcessLimits, is_installed, run_limited
from regiond.images.model import BadImage
from regiond.images.packing import Packing, is_packed, packing_named
from regiond.images.space import SpaceLimit

_METADATA_BYTES = 4 * 2**20  # of any other file beside metadata.yaml, such as its templates
_COMMAND = (sys.executable, "-I", "-S", unpack_process.__file__)
_FILES = OpenFiles(read=(Path(unpack_process.__file__),))
_PROBLEMS: Mapping[str, str] = {
    "damaged": "The file is damaged or cut off",
    "disk_full": "The region's disk for images became full while the image was unpacked. Upload it again once there is "
    "space",
    "no_disk": "The archive has no disk: LXD's images of VMs in one file have a rootfs.img. Of those in two files, "
    "upload the disk (disk.qcow2)",
    "several_files": "The archive has several files; an image is one file, or LXD's rootfs.img",
    "container": "The archive is an image for containers, not for VMs",
}


@frozen(kw_only=True)
class Unpacked:
    """An unpacked image. `metadata` is the text of LXD's metadata.yaml, empty if there is none; it is not trusted."""

    packing: Packing
    metadata: str


@frozen
class Unpacking:
    threads: FileThreads
    limits: ProcessLimits = field(
        factory=partial(ProcessLimits, cpu_s=3600, deadline_s=7200.0, memory_bytes=512 * 2**20, open_files=16)
    )

    async def metadata_of(self, data: bytes) -> str:
        """Returns the text of LXD's metadata.yaml, of which `data` is the archive or the file itself. Raises BadImage.

        It is not trusted.
        """
        if not is_packed(data[:512]):
            return data[: unpack_process.MAX_METADATA_BYTES].decode("utf-8", "replace")
        self._require()
        with _in_memory(data) as (reads, writes):
            ended = await run_limited(
                _COMMAND, evolve(self.limits, cpu_s=10, deadline_s=30.0, file_bytes=_METADATA_BYTES), _FILES,
                reads=reads, writes=writes,
            )  # fmt: skip
        metadata: str = _result(ended.last_line).get("metadata", "")
        if not metadata:
            raise BadImage("The archive has no metadata.yaml of LXD.")
        return metadata

    async def unpack(self, source: Path, target: Path, limit: SpaceLimit) -> Unpacked:
        """Writes the disk to `target`, which is replaced. Raises BadImage; Unsupported without the program prlimit.

        Data that it has written remain after a failure.
        """
        self._require()
        reads, writes = await self.threads.run(partial(_open, source, target))
        try:
            ended = await run_limited(
                _COMMAND,
                evolve(self.limits, file_bytes=limit.size_bytes),
                _FILES,
                reads=reads,
                writes=writes,
            )
        finally:
            os.close(reads)
            os.close(writes)
        found = _result(ended.last_line)
        if ended.status == 0 and "packing" in found:
            return Unpacked(packing=found["packing"], metadata=found["metadata"])
        if found.get("error") == "too_large":
            raise BadImage(f"Unpacked, the image is larger than {limit.reason}.")
        if found.get("error") in _PROBLEMS:
            reason = f" ({found['reason']})" if found.get("reason") else ""
            raise BadImage(f"{_PROBLEMS[found['error']]}{reason}.")
        raise BadImage(f"The file cannot be unpacked: {ended.last_line[:300]}")

    def _require(self) -> None:
        if not is_installed("prlimit"):
            raise Unsupported("prlimit is missing on the region's computer: install the package util-linux.")


@contextmanager
def _in_memory(data: bytes) -> Iterator[tuple[int, int]]:
    """Yields the descriptors of the program's input and output."""
    reads, writes = os.memfd_create("packed", os.MFD_CLOEXEC), os.memfd_create("unpacked", os.MFD_CLOEXEC)
    try:
        with open(reads, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(reads, 0, os.SEEK_SET)
        yield reads, writes
    finally:
        os.close(reads)
        os.close(writes)


def _open(source: Path, target: Path) -> tuple[int, int]:
    """Returns the descriptors of the program's input and output.

    The output is always a new file: the program of a region that was killed may still write to the old one.
    """
    reads = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target.unlink(missing_ok=True)
        return reads, os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except BaseException:
        os.close(reads)
        raise


def _result(line: str) -> dict[str, Any]:
    """Returns the program's checked result: `packing` and `metadata`, or its `error`; empty if the line has none."""
    try:
        found = json.loads(line)
        if "error" in found:
            reason, metadata = (str(found.get(name) or "") for name in ("reason", "metadata"))
            return {"error": str(found["error"]), "reason": reason, "metadata": metadata}
        return {
            "packing": packing_named(found["compression"], is_archive=bool(found["archive"])),
            "metadata": str(found["metadata"] or ""),
        }
    except (ValueError, TypeError, KeyError):
        return {}
