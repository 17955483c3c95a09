"""Runs qemu-img on an untrusted image: in a process of its own, limited in memory, time, files and network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from attrs import field, frozen

from common.deployment_spec import ImageFormat
from common.errors import Unsupported
from regiond.images.model import BadImage

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MISSING = "qemu-img is missing on the region's computer, where it checks images: install the package qemu-utils."
_MAX_OUTPUT_BYTES = 2**20
_LEAKS = 3  # exit status: clusters that nothing uses, which waste space and do no harm
_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_NO_NETWORK = ("unshare", "--user", "--net", "--")


@frozen(kw_only=True)
class ProcessLimits:
    """Of one run of qemu-img. It may open the image and its own libraries, and write no file at all."""

    cpu_s: int = 300
    deadline_s: float = 900.0  # a slow disk takes no CPU time
    memory_bytes: int = 768 * 2**20  # the region's service has 2 GiB in all
    open_files: int = 64

    @property
    def command(self) -> tuple[str, ...]:
        """What is put in front of the command."""
        limits = {"cpu": self.cpu_s, "as": self.memory_bytes, "fsize": 0, "core": 0, "nofile": self.open_files}
        return ("prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--")


@frozen(kw_only=True)
class QemuImg:
    program: str = "qemu-img"
    limits: ProcessLimits = field(factory=ProcessLimits)

    def require(self) -> None:
        """Raises Unsupported if this computer cannot check images."""
        if any(shutil.which(one, path=_ENVIRONMENT["PATH"]) is None for one in (self.program, "prlimit")):
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

    async def _run(self, action: str, path: Path, image_format: ImageFormat) -> tuple[int, Any, str]:
        """Returns the exit status, the JSON of standard output (None if it is none) and the last line of errors."""
        wanted: dict[str, Any] = {"driver": image_format, "file": {"driver": "file", "filename": str(path)}}
        if image_format is ImageFormat.QCOW2:
            wanted["backing"] = None  # whatever the image says
        arguments = (self.program, action, "--output=json", f"json:{json.dumps(wanted)}")
        isolation = _NO_NETWORK if await _can_isolate() else ()
        status, out, errors = await _finished((*self.limits.command, *isolation, *arguments), self.limits.deadline_s)
        lines = errors.decode("utf-8", "replace").replace(str(path), "IMAGE").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), f"it ended with status {status}")
        return status, _json(out), last[:300]


def _refers_to_other_files(found: Mapping[str, Any]) -> bool:
    specific = found.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    return any(name in found for name in ("backing-filename", "full-backing-filename")) or (
        isinstance(data, dict) and "data-file" in data
    )


async def _finished(command: Sequence[str], deadline_s: float) -> tuple[int, bytes, bytes]:
    """Returns exit status, output and errors. Raises BadImage if it takes too long or writes too much."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=dict(_ENVIRONMENT), cwd="/", start_new_session=True,
    )  # fmt: skip
    kill = partial(_kill, process)
    reading = asyncio.gather(_read(process.stdout, kill), _read(process.stderr, kill))
    try:
        async with asyncio.timeout(deadline_s):
            out, errors = await asyncio.shield(reading)
            status = await process.wait()
    except TimeoutError:
        raise BadImage(f"The check of the image took longer than {deadline_s:.0f} s.") from None
    finally:
        kill()
        await reading  # to its end: asyncio does not notice the end of a process whose output nobody reads
        await process.wait()
    if max(len(out), len(errors)) > _MAX_OUTPUT_BYTES:
        raise BadImage("The check of the image has too many results.")
    return status, out, errors


async def _read(stream: asyncio.StreamReader | None, on_excess: Callable[[], None]) -> bytes:
    """Returns the beginning of the output, more than _MAX_OUTPUT_BYTES if `on_excess` was called."""
    found = b""
    while stream is not None and (data := await stream.read(65536)):
        if len(found) <= _MAX_OUTPUT_BYTES:
            found += data
            if len(found) > _MAX_OUTPUT_BYTES:
                on_excess()
    return found


def _kill(process: asyncio.subprocess.Process) -> None:
    """With all that it has started. Idempotent."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


async def _can_isolate() -> bool:
    """Whether this process may make a network namespace; a hardened service or a container may not.

    Without one, the header was still refused if it names any other file or address.
    """
    try:
        status, _, _ = await _finished((*_NO_NETWORK, "true"), 10.0)
    except (BadImage, OSError):
        return False
    return status == 0
