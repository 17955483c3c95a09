"""An LVM volume group on a loop device, with a libvirt storage pool, for one test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

from attrs import frozen

SIZE_MIB = 256
_QUIET = {**os.environ, "LVM_SUPPRESS_FD_WARNINGS": "1"}


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=_QUIET).stdout.strip()


@frozen(kw_only=True)
class VolumeGroup:
    name: str
    pool_id: str
    device: str

    def content(self) -> bytes:
        """Everything on its device, including what is free."""
        run("sync")
        run("blockdev", "--flushbufs", self.device)
        return Path(self.device).read_bytes()

    def logical_volumes(self) -> set[str]:
        return set(run("lvs", "--noheadings", "-o", "lv_name", self.name).split())


@contextmanager
def volume_group(connection: Any, folder: Path) -> Iterator[VolumeGroup]:
    """Removed at the end with its contents and the loop device."""
    name = f"ikvg{uuid4().hex[:6]}"
    image = folder / f"{name}.img"
    with image.open("wb") as empty:
        empty.truncate(SIZE_MIB * 1024 * 1024)
    with ExitStack() as undoing:
        device = run("losetup", "--find", "--show", str(image))
        undoing.callback(run, "losetup", "--detach", device)
        run("vgcreate", "--yes", name, device)
        undoing.callback(run, "vgremove", "--force", "--yes", name)
        pool = connection.storagePoolCreateXML(_pool(name))
        undoing.callback(pool.destroy)
        yield VolumeGroup(name=name, pool_id=pool.UUIDString(), device=device)


def _pool(name: str) -> str:
    pool = ET.Element("pool", type="logical")
    ET.SubElement(pool, "name").text = name
    ET.SubElement(ET.SubElement(pool, "source"), "name").text = name
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = f"/dev/{name}"
    return ET.tostring(pool, encoding="unicode")
