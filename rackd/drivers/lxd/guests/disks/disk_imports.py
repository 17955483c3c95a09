"""Gives the disks of a new instance the content of images that the region has written.

LXD writes an image only to the root disk of a new instance, so that one gets it as in a deployment: by an image of the
machine's own, which is deleted afterwards. A further disk is a custom volume, which LXD imports from a backup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from common.errors import OutOfCapacity
from common.guests.deployment_spec import ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.rpc.commands.host_commands import MAX_CALL_S
from rackd.drivers.contract import ImageContent
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.image_content import check_image_fits
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.connection.failures import NoSpace
from rackd.drivers.lxd.guests import cloud_init
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.attached_disks import volumes_of
from rackd.drivers.lxd.guests.disks.volume_archive import archive_of
from rackd.drivers.lxd.guests.disks.volumes_anew import make_anew
from rackd.drivers.lxd.guests.image_files import images
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.guests.rebuild.rebuilding import give_root_disk
from rackd.drivers.lxd.guests.rebuild.replacement import RootDisk, stopped_instance
from rackd.drivers.lxd.inventory.ownership import config_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def fill(
    client: Client, instances: Instances, spec: GuestSpec, volume: str, image: ImageRef, content: ImageContent
) -> None:
    """Behaves as the driver contract says."""
    found = stopped_instance(instances, spec.ref)
    disk = next((one for one in spec.disks if one.volume == volume), None)
    if disk is None:
        raise disk_not_found(spec.name, volume, (one.volume for one in spec.disks))
    check_image_fits(image, disk)
    with _space_in(disk, image):
        if disk == spec.disks[0]:
            _fill_root(client, instances, found, spec, image, content)
        else:
            _fill_volume(client, instances, found, spec, disk, image, content)
    log.info("disk_filled", guest=spec.name, volume=volume, pool=disk.pool_id)


def _fill_root(
    client: Client, instances: Instances, found: Json, spec: GuestSpec, image: ImageRef, content: ImageContent
) -> None:
    architecture = str(client.server()["environment"]["kernel_architecture"])
    keys = {key: text for key, text in config_of(found).items() if key in cloud_init.KEYS}
    try:
        fingerprint = images.upload_private(client, image, content, spec.marker, instances.scope, architecture)
        give_root_disk(instances, found, RootDisk(fingerprint=fingerprint, cloud_init=keys), spec.marker)
    finally:
        images.remove_private(client, spec.marker, instances.scope)


def _fill_volume(
    client: Client, instances: Instances, found: Json, spec: GuestSpec, disk: DiskSpec, image: ImageRef,
    content: ImageContent,
) -> None:  # fmt: skip
    pool = client.get(path("storage-pools", disk.pool_id))
    scope = instances.scope_of(found)

    filled: list[DiskSpec] = []

    def make(disks: Sequence[DiskSpec]) -> None:
        volumes.create(client, [one for one in disks if one != disk], scope, created=[])  # instead of those that exist
        if disk in disks:
            filled.append(disk)
            volumes.delete_volumes(client, spec.marker, [(disk.pool_id, disk.volume)], scope)
            with limits_as_capacity():
                client.upload(
                    path("storage-pools", disk.pool_id, "volumes", "custom"),
                    archive_of(disk, str(pool.get("driver") or ""), image, content),
                    {"Content-Type": "application/octet-stream", f"{client.dialect.header_prefix}name": disk.volume},
                    wait_s=MAX_CALL_S, project=scope.project, target=scope.member or "",
                )  # fmt: skip

    make_anew(instances, str(found["name"]), spec.disks[1:], make, only=disk.volume)
    if not filled:  # somebody has detached it
        raise disk_not_found(spec.name, disk.volume, volumes_of(found))


@contextmanager
def _space_in(disk: DiskSpec, image: ImageRef) -> Iterator[None]:
    try:
        yield
    except NoSpace as error:
        raise OutOfCapacity(
            f"The storage pool {disk.pool_id}, or the folder in which the server keeps what it imports, has no "
            f"space for the content of {disk.volume}: {error}",
            pool_id=disk.pool_id,
            requested_bytes=image.virtual_size_bytes,
        ) from error
