"""Copies images to storage pools, and finds them there."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

import structlog

from common.errors import DriverFailed, InnkeeperError, NotFound, OutOfCapacity
from common.guests.deployment_spec import ImageFormat, ImageRef
from rackd.drivers.contract import ImageContent
from rackd.drivers.image_content import verified_parts
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.deployment.qcow2_disk import disk_parts
from rackd.drivers.libvirt.guests.disks.dependents import dependents_of
from rackd.drivers.libvirt.guests.disks.pools import GuestPool
from rackd.drivers.libvirt.guests.disks.volume_users import volume_users
from rackd.drivers.libvirt.guests.disks.volumes import delete_from, undo
from rackd.drivers.libvirt.image_names import ImageUpload, abandoned_volumes, complete_uploads, is_of_image

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_MARK_BYTES = 512  # of the volume that says that an image is complete


def find_image(pool: GuestPool, image: ImageRef) -> Volume | None:
    """Returns the volume with a complete copy of the image."""
    return find_volume(pool, image.sha256)


def find_volume(pool: GuestPool, sha256: str) -> Volume | None:
    """Returns the volume with a complete copy of the image that has this SHA-256."""
    for upload in complete_uploads(pool.pool.volume_names(), sha256):
        volume = pool.pool.volume(upload.data_volume)
        if volume is not None:
            return volume
    return None


def copy_image(pool: GuestPool, image: ImageRef, content: ImageContent, *, now_s: float) -> None:
    """Idempotent. `now_s` is the rack's time, in seconds since 1970.

    Raises OutOfCapacity, Unsupported, and what `content` raises.
    """
    found = find_image(pool, image)
    if found is not None and _is_readable(found):
        return
    if found is not None:
        pool.pool.refresh()  # its file was deleted without libvirt
        if find_image(pool, image) is not None:
            raise DriverFailed(f"The host cannot read the volume {found.name} in the storage pool {pool.pool.name}.")
    _delete_abandoned(pool, now_s)
    _check_space(pool, _copy_bytes(pool, image))
    upload = ImageUpload(sha256=image.sha256, started_at_s=int(now_s), suffix=secrets.token_hex(4))
    _upload(pool, image, upload, _parts(pool, image, content))
    log.info("image_copied", sha256=image.sha256, pool=pool.pool.name, size_bytes=image.size_bytes)


def remove_image(client: Client, pool: GuestPool, sha256: str, *, now_s: float) -> None:
    """Idempotent. A volume that a guest has, or another one depends on, stays, as does an upload that may go on."""
    pool.pool.refresh()
    names = pool.pool.volume_names()
    uploads = complete_uploads(names, sha256)
    dependents = dependents_of(client, pool.pool, {upload.data_volume for upload in uploads})
    unwanted = [name for name in abandoned_volumes(names, now_s) if is_of_image(name, sha256)]
    guests = volume_users(client) if uploads else None
    for upload in uploads:
        users = set() if guests is None else guests.of_volume(pool.pool, upload.data_volume)
        users |= dependents[upload.data_volume]
        if users:
            log.warning("image_in_use", volume=upload.data_volume, pool=pool.pool.name, users=sorted(users))
            continue
        unwanted += [upload.complete_volume, upload.data_volume]  # without its data, a copy must not seem complete
    for name in unwanted:
        delete_from(pool.pool, name)
    if unwanted:
        log.info("image_removed", sha256=sha256, pool=pool.pool.name)


def _upload(pool: GuestPool, image: ImageRef, upload: ImageUpload, parts: Iterable[bytes]) -> None:
    created: list[Volume] = []
    try:
        volume = pool.pool.create(_image_xml(pool, image, upload.data_volume), upload.data_volume)
        created.append(volume)
        volume.fill(parts, _copy_bytes(pool, image), holes=_has_holes(pool, image))
        created.append(
            pool.pool.create(volume_xml(upload.complete_volume, _MARK_BYTES, pool.type), upload.complete_volume)
        )
    except BaseException:
        undo(reversed(created))
        raise


def _parts(pool: GuestPool, image: ImageRef, content: ImageContent) -> Iterator[bytes]:
    """A block device holds the disk itself, whatever the format of the image: there libvirt knows no formats."""
    if image.format is ImageFormat.RAW or not pool.has_block_devices:
        return verified_parts(image, content)
    for _ in verified_parts(image, content):  # before its tables are followed, from one end to the other
        pass
    return disk_parts(image, content)


def _image_xml(pool: GuestPool, image: ImageRef, name: str) -> str:
    """Names the format, so that libvirt never has to guess it from the content."""
    if pool.has_block_devices:
        return volume_xml(name, image.virtual_size_bytes, pool.type)
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(image.virtual_size_bytes)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    ET.SubElement(ET.SubElement(volume, "target"), "format", type=image.format.value)
    return ET.tostring(volume, encoding="unicode")


def _has_holes(pool: GuestPool, image: ImageRef) -> bool:
    """A new block device has old content, which a hole would not replace."""
    return image.format is ImageFormat.RAW and not pool.has_block_devices


def _copy_bytes(pool: GuestPool, image: ImageRef) -> int:
    return image.virtual_size_bytes if pool.has_block_devices else image.size_bytes


def _check_space(pool: GuestPool, wanted_bytes: int) -> None:
    left_bytes = pool.available_bytes(wanted_bytes)
    if left_bytes < wanted_bytes:
        raise OutOfCapacity(
            f"The image needs {wanted_bytes} bytes; the storage pool {pool.pool.name} has {left_bytes} left.",
            requested_bytes=wanted_bytes,
            left_bytes=left_bytes,
        )


def _is_readable(volume: Volume) -> bool:
    try:
        volume.capacity_bytes()
    except (NotFound, DriverFailed) as error:
        log.warning("image_not_readable", volume=volume.name, reason=str(error))
        return False
    return True


def _delete_abandoned(pool: GuestPool, now_s: float) -> None:
    for name in abandoned_volumes(pool.pool.volume_names(), now_s):
        try:
            delete_from(pool.pool, name)
        except InnkeeperError as error:
            log.warning("abandoned_image_not_deleted", volume=name, pool=pool.pool.name, reason=str(error))
        else:
            log.info("abandoned_image_deleted", volume=name, pool=pool.pool.name)
