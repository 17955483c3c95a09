"""Images of the region's catalogue in LXD's image store.

An image of ours has its SHA-256 as a property. LXD's own fingerprint covers its metadata file too, so it is known only
after an upload. One image serves all storage pools: LXD unpacks it into a pool when an instance first needs it there.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode
from uuid import uuid4

import structlog

from common.errors import Busy, NotFound, OutOfCapacity
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.rpc.commands.host_commands import MAX_CALL_S
from common.values import OwnershipMarker
from common.words.phrases import number_of
from rackd.drivers.contract import ImageContent
from rackd.drivers.image_content import verified_parts
from rackd.drivers.lxd.connection.client import Client, Scope, path
from rackd.drivers.lxd.connection.failures import Conflict, NoSpace
from rackd.drivers.lxd.guests.image_files.raw_as_qcow2 import qcow2_head, qcow2_tail
from rackd.drivers.lxd.inventory.image_copies import DISK_BYTES_PROPERTY, SHA256_PROPERTY
from rackd.drivers.lxd.inventory.ownership import INSTALLATION_KEY, MACHINE_KEY, VM
from rackd.drivers.lxd.inventory.pools import check_pools

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_CREATED_AT = 1  # LXD rejects metadata without a creation date, and 0 counts as none


def find(client: Client, image: ImageRef, scope: Scope) -> str | None:
    """Returns LXD's fingerprint of the image, None if the project's image store lacks it."""
    for one in client.get("images", recursion="1", project=scope.project):
        if one.get("type") == VM and (one.get("properties") or {}).get(SHA256_PROPERTY) == image.sha256:
            return str(one["fingerprint"])
    return None


def copy(client: Client, image: ImageRef, pool_id: str, content: ImageContent, scope: Scope, architecture: str) -> None:
    """Returns when the project's image store has the image. Idempotent. LXD discards an upload that breaks off.

    Raises NotFound naming a missing storage pool, OutOfCapacity if LXD's disk is full, and what `content` raises.
    """
    check_pools(client, [pool_id])
    if find(client, image, scope) is not None:
        return
    boundary, prefix = uuid4().hex, client.dialect.header_prefix
    try:
        with _space_for(client, image):
            client.upload(
                "images",
                _multipart(image, content, boundary, architecture, about=f"Innkeeper {image.sha256[:12]}"),
                {
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    f"{prefix}filename": f"innkeeper-{image.sha256[:12]}",
                    f"{prefix}properties": urlencode(
                        {SHA256_PROPERTY: image.sha256, DISK_BYTES_PROPERTY: str(image.virtual_size_bytes)}
                    ),
                    f"{prefix}public": "false",
                },
                project=scope.project,
            )
    except Conflict:
        log.info("image_already_exists", sha256=image.sha256)  # uploaded by another rack
    log.info("image_copied", sha256=image.sha256, size_bytes=image.size_bytes)


def upload_private(
    client: Client, image: ImageRef, content: ImageContent, marker: OwnershipMarker, scope: Scope, architecture: str
) -> str:
    """Returns LXD's fingerprint of a new image for the root disk of one machine, instead of what an earlier call left.

    It is no copy of the catalogue. Raises OutOfCapacity if LXD's disk is full, Busy if another rack uploads one for the
    machine meanwhile, and what `content` raises.
    """
    remove_private(client, marker, scope)
    boundary, machine = uuid4().hex, str(marker.machine_id)
    prefix = client.dialect.header_prefix
    with _space_for(client, image):
        client.upload(
            "images",
            _multipart(image, content, boundary, architecture, about=f"Innkeeper import {uuid4().hex}"),
            {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                f"{prefix}filename": f"innkeeper-import-{machine}",
                f"{prefix}properties": urlencode({MACHINE_KEY: machine, INSTALLATION_KEY: str(marker.installation_id)}),
                f"{prefix}public": "false",
            },
            wait_s=MAX_CALL_S,
            project=scope.project,
        )
    found = _private(client, marker, scope)
    if len(found) != 1:
        raise Busy(
            f"{client.place} has {number_of(len(found), 'image')} for the root disk of the machine {machine}, of which "
            "one was just uploaded: another rack imports it too, for an earlier attempt. It is imported again."
        )
    log.info("image_for_import_uploaded", machine=machine, size_bytes=image.size_bytes)
    return found[0]


def remove_private(client: Client, marker: OwnershipMarker, scope: Scope) -> None:
    """Deletes the images that `upload_private` made for the machine. Idempotent; a project that is gone has none."""
    try:
        found = _private(client, marker, scope)
    except NotFound as error:
        log.info("images_not_found", machine=str(marker.machine_id), reason=str(error))
        return
    for fingerprint in found:
        try:
            client.delete(path("images", fingerprint), project=scope.project)
        except NotFound:
            log.info("image_already_deleted", machine=str(marker.machine_id))


def _private(client: Client, marker: OwnershipMarker, scope: Scope) -> list[str]:
    wanted = (str(marker.installation_id), str(marker.machine_id))
    return [
        str(one["fingerprint"])
        for one in client.get("images", recursion="1", project=scope.project)
        if tuple((one.get("properties") or {}).get(key) for key in (INSTALLATION_KEY, MACHINE_KEY)) == wanted
    ]


@contextmanager
def _space_for(client: Client, image: ImageRef) -> Iterator[None]:
    try:
        yield
    except NoSpace as error:
        raise OutOfCapacity(
            f"{client.place}: the disk with its images has no space for {image.size_bytes} bytes.",
            requested_bytes=image.size_bytes,
        ) from error


def remove(client: Client, sha256: str, scope: Scope) -> None:
    """Deletes the image from the project's image store. Idempotent. LXD keeps what its instances need of it."""
    for one in client.get("images", recursion="1", project=scope.project):
        if one.get("type") == VM and (one.get("properties") or {}).get(SHA256_PROPERTY) == sha256:
            try:
                client.delete(path("images", str(one["fingerprint"])), project=scope.project)
            except NotFound:
                log.info("image_already_deleted", sha256=sha256)
            else:
                log.info("image_removed", sha256=sha256)


def _multipart(
    image: ImageRef, content: ImageContent, boundary: str, architecture: str, *, about: str
) -> Iterator[bytes]:
    """Yields the two files of a split image. LXD takes the disk of a VM as qcow2 only."""
    yield _part_head(boundary, "metadata")
    yield _metadata(architecture, about)
    yield b"\r\n" + _part_head(boundary, "rootfs.img")
    is_raw = image.format is ImageFormat.RAW
    if is_raw:
        yield from qcow2_head(image.size_bytes)
    yield from verified_parts(image, content)
    if is_raw:
        yield qcow2_tail(image.size_bytes)
    yield f"\r\n--{boundary}--\r\n".encode()


def _part_head(boundary: str, name: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def _metadata(architecture: str, description: str) -> bytes:
    """Returns the metadata file; LXD copies the properties of the upload, not those in it, to the image."""
    about = {
        "architecture": architecture,
        "creation_date": _CREATED_AT,
        "properties": {"description": description},
    }
    text = json.dumps(about).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("metadata.yaml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()
