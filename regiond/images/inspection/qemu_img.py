"""Runs qemu-img on an untrusted image: in a process that can open this image and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from attrs import evolve, field, frozen

from common.errors import Unsupported
from common.guests.deployment_spec import ImageFormat
from regiond.images.inspection.limited_process import Ended, OpenFiles, ProcessLimits, is_installed, run_limited
from regiond.images.model import BadImage

MISSING = "qemu-img is missing on the region's computer, where it checks images: install the package qemu-utils."
_SECTOR_BYTES = 512
_LEAKS = 3  # exit status: unused clusters, which waste space and are harmless


@frozen(kw_only=True)
class QemuImg:
    """The program qemu-img, which may open the image and its own libraries.

    It writes only the first bytes of a disk, to a file of ours.
    """

    program: str = "qemu-img"
    limits: ProcessLimits = field(factory=ProcessLimits)

    def require(self) -> None:
        """Raises Unsupported if this computer cannot check images."""
        if not all(is_installed(one) for one in (self.program, "prlimit")):
            raise Unsupported(MISSING)

    async def virtual_size_bytes(self, path: Path, image_format: ImageFormat) -> int:
        """Returns the size of the disk. Raises BadImage, also if the image refers to another file; Unsupported."""
        self.require()
        status, found, error = await self._run("info", path, image_format)
        if status != 0 or not isinstance(found, dict):
            raise BadImage(f"qemu-img cannot read the image: {error}")
        if _refers_to_other_files(found):
            raise BadImage("The image refers to another file.")
        if found.get("encrypted"):
            raise BadImage("The image is encrypted.")
        size = found.get("virtual-size")
        if found.get("format") != image_format or not isinstance(size, int):
            raise BadImage(f"qemu-img finds the format {found.get('format')!r}, not {image_format}.")
        return size

    async def check(self, path: Path) -> None:
        """Checks all tables of a qcow2 image. Raises BadImage, Unsupported."""
        self.require()
        status, found, error = await self._run("check", path, ImageFormat.QCOW2)
        if status == 0 or (status == _LEAKS and isinstance(found, dict)):
            return
        if isinstance(found, dict) and (corruptions := found.get("corruptions", found.get("check-errors"))):
            raise BadImage(f"The qcow2 image is damaged or cut off: qemu-img check finds {corruptions} errors.")
        raise BadImage(f"qemu-img cannot check the image: {error}")

    async def disk_head(self, path: Path, image_format: ImageFormat, size_bytes: int) -> bytes:
        """Returns the first bytes of the disk, in whole sectors; fewer only if the disk is smaller.

        Raises BadImage, Unsupported.
        """
        self.require()
        with NamedTemporaryFile(prefix="innkeeper-disk-head-") as head:
            arguments = (
                self.program, "dd", "-O", "raw", f"if={_source(path, image_format)}", f"of={head.name}",
                f"bs={_SECTOR_BYTES}", f"count={size_bytes // _SECTOR_BYTES}",
            )  # fmt: skip
            files = OpenFiles(read=(path,), write=(Path(head.name),))
            ended = await run_limited(arguments, evolve(self.limits, file_bytes=size_bytes), files)
            if ended.status != 0:
                raise BadImage(f"qemu-img cannot read the disk: {_reason(ended, path)}")
            return head.read(size_bytes)

    async def _run(self, action: str, path: Path, image_format: ImageFormat) -> tuple[int, Any, str]:
        """Returns the exit status, the JSON of standard output (None if it is none) and the last line of errors."""
        command = (self.program, action, "--output=json", _source(path, image_format))
        ended = await run_limited(command, self.limits, OpenFiles(read=(path,)))
        return ended.status, _json(ended.out), _reason(ended, path)


def _source(path: Path, image_format: ImageFormat) -> str:
    wanted: dict[str, Any] = {"driver": image_format, "file": {"driver": "file", "filename": str(path)}}
    if image_format is ImageFormat.QCOW2:
        wanted["backing"] = None  # whatever the image names
    return f"json:{json.dumps(wanted)}"


def _reason(ended: Ended, path: Path) -> str:
    return ended.last_line.replace(str(path), "IMAGE")[:300]


def _refers_to_other_files(found: Mapping[str, Any]) -> bool:
    specific = found.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    return any(name in found for name in ("backing-filename", "full-backing-filename")) or (
        isinstance(data, dict) and "data-file" in data
    )


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
