"""Images of disks, made by qemu-img, and their upload to a region."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path
from typing import Any

from innkeeper.http import relative_path
from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

MIB = 2**20
PART_BYTES = 4 * MIB
ENDED = ("ready", "failed")

__all__ = ["PART_BYTES", "append", "checked", "declare", "qcow2", "raw_disk", "upload"]


def raw_disk(size_bytes: int = MIB, *, seed: int = 0) -> bytes:
    """A disk with a partition table and nothing else; each seed makes another one."""
    sector = bytearray(512)
    sector[:8] = seed.to_bytes(8, "big")
    sector[510:] = b"\x55\xaa"
    return bytes(sector) + bytes(size_bytes - 512)


def qcow2(path: Path, *options: str, size: str = "64M", data: bytes = b"") -> bytes:
    """Returns the bytes of a new qcow2 image at `path`, made with these options of `qemu-img create`.

    With `data`, the image has it as the content of its disk.
    """
    if data:
        source = path.with_suffix(".raw")
        source.write_bytes(data)
        run = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(source), str(path)]
    else:
        run = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size]
    subprocess.run(run, check=True, capture_output=True)
    return path.read_bytes()


def overlay_head(base: Path | str, *, size_bytes: int = 64 * MIB) -> bytes:
    """Returns the first 64 KiB of a qcow2 image, version 2, that names `base` as its backing file."""
    path = str(base).encode()
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 72, len(path), 16, size_bytes, 0, 1, 65536, 0, 0, 0, 0)
    return (header + path).ljust(65536, b"\0")


async def declare(deployment: Deployment, data: bytes, **fields: Any) -> Any:
    """Returns the entry of an upload that has no content yet."""
    given: dict[str, Any] = {
        "name": "custom/x", "architecture": "amd64/generic", "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }  # fmt: skip
    return await deployment.post("boot-resources/", **given | fields)


async def append(deployment: Deployment, entry: Any, data: bytes, *, offset: int | None = None) -> Any:
    """Sends a part to the address that the entry names, as MAAS's clients do."""
    (one_set,) = entry["sets"].values()
    (file,) = one_set["files"].values()
    query = [] if offset is None else [("offset", str(offset))]
    path = relative_path(file["upload_uri"])
    return (await deployment.api.send("PUT", path, query=query, body=Body(content=data))).json()


async def upload(deployment: Deployment, data: bytes, *, part_bytes: int = PART_BYTES, **fields: Any) -> Any:
    """Uploads all parts and returns the entry once it was checked."""
    entry = await declare(deployment, data, **fields)
    for start in range(0, len(data), part_bytes):
        await append(deployment, entry, data[start : start + part_bytes])
    return await checked(deployment, entry)


async def checked(deployment: Deployment, entry: Any) -> Any:
    """Returns the entry once it is ready or has failed."""

    async def ended() -> Any:
        found = await deployment.get(f"boot-resources/{entry['id']}/")
        return found if found["state"] in ENDED else None

    return await eventually(ended)
