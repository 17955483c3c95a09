"""The image store: split images of VMs, uploaded, imported, exported, unpacked and deleted."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from tests.lxd_http import operations
from tests.lxd_http.messages import Answer, Refused, Request, etag_of, sync
from tests.lxd_http.qcow2 import content_of, disk_bytes
from tests.lxd_http.state import NEVER, VM, Image, Lxd

_BOUNDARY = re.compile(r"multipart/form-data; boundary=(?P<boundary>\S+)")
_ARCHITECTURES = frozenset({"x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64"})
_PART_NAME = re.compile(rb'; name="(?P<name>[^"]+)"')


def listing(lxd: Lxd, request: Request) -> Answer:
    lxd.check_project(request.project)
    found = [one for one in lxd.images.values() if one.project == request.project]
    return sync([_view(one) for one in found])


def upload(lxd: Lxd, request: Request) -> Answer:
    lxd.check_project(request.project)
    properties = dict(parse_qsl(request.headers.get(f"x-{lxd.release.product}-properties", "")))

    def work() -> dict[str, str]:
        parts = _parts(request)
        if parts.keys() != {"metadata", "rootfs.img"}:
            raise Refused(500, "EOF")
        image = add(lxd, request.project, parts["metadata"], parts["rootfs.img"], properties=properties)
        return {"fingerprint": image.fingerprint, "size": str(_size(image))}

    return operations.run(lxd, "Downloading image", work)


def add(
    lxd: Lxd,
    project: str,
    metadata: bytes,
    disk: bytes,
    *,
    alias: str = "",
    properties: Mapping[str, str] | None = None,
) -> Image:
    """Also what `lxc image import` does for an administrator. `properties` are added to those in `metadata`."""
    about = _about(metadata)
    architecture = about.get("architecture", "")
    if architecture not in _ARCHITECTURES:
        raise Refused(500, f"Architecture isn't supported: {architecture}")
    if not about.get("creation_date"):
        raise Refused(500, "Missing creation date")
    image = Image(
        fingerprint=hashlib.sha256(metadata + disk).hexdigest(),
        project=project,
        architecture=architecture,
        properties={**about.get("properties", {}), **(properties or {})},
        created_at=datetime.fromtimestamp(about["creation_date"], UTC).isoformat(),
        metadata=metadata,
        disk=disk,
        aliases=[alias] if alias else [],
    )
    if (project, image.fingerprint) in lxd.images:
        raise Refused(500, "Image with same fingerprint already exists")
    lxd.images[project, image.fingerprint] = image
    return image


def read(lxd: Lxd, request: Request, fingerprint: str) -> Answer:
    found = _find(lxd, request.project, fingerprint)
    return sync(_view(found), etag=etag_of(found.fingerprint))


def export(lxd: Lxd, request: Request, fingerprint: str) -> Answer:
    found = _find(lxd, request.project, fingerprint)
    boundary = hashlib.sha256(found.disk).hexdigest()
    files = (("metadata", f"meta-{found.fingerprint}.tar", found.metadata), ("rootfs.img", "rootfs.img", found.disk))
    content = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, file, data in files
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return Answer(content=content + f"--{boundary}--\r\n".encode(), headers=headers)


def delete(lxd: Lxd, request: Request, fingerprint: str) -> Answer:
    """Instances made of it stay: a pool of type `dir` has copied it."""
    found = _find(lxd, request.project, fingerprint)
    url = f"/1.0/images/{found.fingerprint}"

    def work() -> None:
        del lxd.images[found.project, found.fingerprint]

    return operations.run(lxd, "Deleting image", work, {"images": [url]})


def source(lxd: Lxd, project: str, fingerprint: str) -> Image:
    """The image of a new instance."""
    found = lxd.images.get((project, fingerprint))
    if found is None:
        raise Refused(400, "Image not provided for instance creation")
    return found


def unpacked(image: Image, size_bytes: int) -> bytes:
    """The content of a root disk of this size."""
    needed = disk_bytes(image.disk)
    if needed > size_bytes:
        raise Refused(
            400,
            f"Failed creating instance from image: Source image size ({needed}) exceeds specified volume size "
            f"({size_bytes})",
        )
    return content_of(image.disk)


def metadata_file(properties: Mapping[str, str]) -> bytes:
    """The metadata file of an image that an administrator imports."""
    about = json.dumps({"architecture": "x86_64", "creation_date": 1700000000, "properties": dict(properties)}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("metadata.yaml")
        member.size = len(about)
        archive.addfile(member, io.BytesIO(about))
    return packed.getvalue()


def _find(lxd: Lxd, project: str, fingerprint: str) -> Image:
    """LXD also accepts the beginning of a fingerprint."""
    found = [one for (of, key), one in lxd.images.items() if of == project and key.startswith(fingerprint)]
    if len(found) != 1:
        raise Refused(404, "Image not found")
    return found[0]


def _parts(request: Request) -> dict[str, bytes]:
    """The files in the body by name."""
    kind = _BOUNDARY.fullmatch(request.headers.get("content-type", ""))
    if kind is None:
        raise Refused(500, "EOF")
    found: dict[str, bytes] = {}
    for part in request.content.split(b"--" + kind["boundary"].encode()):
        head, _, content = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if name is not None:
            found[name["name"].decode()] = content.removesuffix(b"\r\n")
    return found


def _about(metadata: bytes) -> dict[str, Any]:
    """JSON, which is YAML too."""
    with tarfile.open(fileobj=io.BytesIO(metadata)) as archive:
        file = archive.extractfile("metadata.yaml")
        assert file is not None
        found: dict[str, Any] = json.load(file)
    return found


def _size(one: Image) -> int:
    return len(one.metadata) + len(one.disk)


def _view(one: Image) -> dict[str, Any]:
    return {
        "auto_update": False, "properties": one.properties, "public": False, "expires_at": "1970-01-01T00:00:00Z",
        "profiles": ["default"], "aliases": [{"name": alias, "description": ""} for alias in one.aliases],
        "architecture": one.architecture, "cached": False, "filename": "rootfs.img", "fingerprint": one.fingerprint,
        "size": _size(one), "type": VM, "created_at": one.created_at, "last_used_at": NEVER,
        "uploaded_at": one.uploaded_at,
    }  # fmt: skip
