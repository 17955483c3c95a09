"""Unpacks compressed images and archives, in a limited process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from common.errors import Unsupported
from regiond.images import unpack_process
from regiond.images.file_threads import FileThreads
from regiond.images.limited_process import ProcessLimits, is_installed, run_limited
from regiond.images.model import BadImage
from regiond.images.packing import Packing, packing_named
from regiond.images.space import SpaceLimit

_PROGRAM = Path(unpack_process.__file__)
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
    """`metadata` is the text of LXD's metadata.yaml, empty if there is none. It is not trusted."""

    packing: Packing
    metadata: str


@frozen
class Unpacking:
    threads: FileThreads
    limits: ProcessLimits = field(
        factory=partial(ProcessLimits, cpu_s=3600, deadline_s=7200.0, memory_bytes=512 * 2**20, open_files=16)
    )

    async def unpack(self, source: Path, target: Path, limit: SpaceLimit) -> Unpacked:
        """Writes the disk to `target`, which is replaced. Raises BadImage; Unsupported without the program prlimit.

        What it has written stays when it fails.
        """
        if not is_installed("prlimit"):
            raise Unsupported("prlimit is missing on the region's computer: install the package util-linux.")
        reads, writes = await self.threads.run(partial(_open, source, target))
        try:
            ended = await run_limited(
                (sys.executable, "-I", "-S", str(_PROGRAM)),
                evolve(self.limits, file_bytes=limit.size_bytes),
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


def _open(source: Path, target: Path) -> tuple[int, int]:
    """The descriptors of the program's input and output."""
    reads = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return reads, os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except BaseException:
        os.close(reads)
        raise


def _result(line: str) -> dict[str, Any]:
    """What the program found, checked: `packing` and `metadata`, or its `error`. Empty if it is no answer."""
    try:
        found = json.loads(line)
        if "error" in found:
            return {"error": str(found["error"]), "reason": str(found.get("reason", ""))}
        return {
            "packing": packing_named(found["compression"], is_archive=bool(found["archive"])),
            "metadata": str(found["metadata"] or ""),
        }
    except (ValueError, TypeError, KeyError):
        return {}
