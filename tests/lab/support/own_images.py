"""Images that an LXD server has before Innkeeper comes, imported over the API as its administrator does."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab.servers.lxd_server import LxdServer


def import_image(
    server: LxdServer, disk: Path, alias: str, *, properties: Mapping[str, str] | None = None, padding_bytes: int = 0
) -> str:
    """Returns the fingerprint of an image in LXD's split format, whose metadata file has at least `padding_bytes`.

    A disk whose name ends with `.qcow2` is that of a VM, others are those of containers.
    """
    # Not `lxc image import`: it waits for the event that the operation has ended, which LXD sends before the client
    # receives events if the import is quick. On a busy machine 4 of 614 waited forever.
    part = "rootfs.img" if disk.suffix == ".qcow2" else "rootfs"
    files = {"metadata": _metadata(properties or {}, padding_bytes), part: disk.read_bytes()}
    fingerprint = str(server.send_files("/1.0/images", files)["metadata"]["fingerprint"])
    server.ask("/1.0/images/aliases", method="POST", body={"name": alias, "target": fingerprint})
    return fingerprint


def delete_images(server: LxdServer, prefix: str) -> None:
    """Deletes those of which an alias has the prefix."""
    for one in server.ask("/1.0/images?recursion=1"):
        if any(alias["name"].startswith(prefix) for alias in one["aliases"]):
            server.ask(f"/1.0/images/{one['fingerprint']}", method="DELETE")


def qcow2(folder: Path, name: str, *, size_bytes: int, content: bytes = b"") -> Path:
    """Returns a file whose disk has this size and begins with `content`."""
    raw, disk = folder / f"{name}.raw", folder / f"{name}.qcow2"
    with raw.open("wb") as file:
        file.write(content)
        file.truncate(size_bytes)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(disk)], check=True, timeout=60)
    raw.unlink()
    return disk


def _metadata(properties: Mapping[str, str], padding_bytes: int) -> bytes:
    about = {"architecture": "x86_64", "creation_date": 1700000000, "properties": dict(properties)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (("metadata.yaml", json.dumps(about).encode()), ("templates/large", bytes(padding_bytes))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
