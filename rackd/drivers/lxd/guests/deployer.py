"""Deploys a guest: a root disk from an image, and cloud-init data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import structlog
from attrs import evolve

from common.errors import DriverFailed, ImageMissing, OutOfCapacity, Unsupported
from common.guests.deployment_spec import CloudInitSeed, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec
from rackd.drivers.image_content import check_image_fits
from rackd.drivers.lxd.connection.client import Client, Scope, path
from rackd.drivers.lxd.connection.failures import NoSpace
from rackd.drivers.lxd.guests import cloud_init, instance_config, preflight
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.volumes_anew import make_anew
from rackd.drivers.lxd.guests.image_files import images, own_images
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.rebuild.rebuilding import give_root_disk
from rackd.drivers.lxd.guests.rebuild.replacement import RootDisk, stopped_instance
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.config_values import is_true

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_TOO_LARGE = re.compile(r"source image size .* exceeds", re.IGNORECASE)


def deploy(client: Client, instances: Instances, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
    """Behaves as the driver contract says. A repeated call makes the root disk again."""
    root = spec.root_disk()
    original = stopped_instance(instances, spec.ref)
    if image.of_host:
        found = own_images.find(client, instances.scope, fingerprint=image.sha256)
        image = evolve(image, virtual_size_bytes=found.virtual_size_bytes or 0)
    check_image_fits(image, root)
    fingerprint = image.sha256 if image.of_host else _fingerprint(client, image, instances.scope)
    keys = cloud_init.config_of(seed, instances.capabilities)
    networks = preflight.networks_of(client, spec.nics, instances.scope)
    leases = preflight.leases_of(client, spec.nics, networks, instances.scope)
    try:
        give_root_disk(
            instances, original, RootDisk(fingerprint=fingerprint, cloud_init=keys, leases=leases), spec.marker
        )
    except NoSpace as error:
        raise OutOfCapacity(
            f"The storage pool {root.pool_id} has no space for the image: {error}",
            pool_id=root.pool_id,
            requested_bytes=image.virtual_size_bytes,
        ) from error
    except DriverFailed as error:
        if image.of_host and _TOO_LARGE.search(str(error)):
            raise OutOfCapacity(
                f"The image {image.sha256[:12]} needs a larger root disk than that of {spec.name}, which is empty now "
                f"({root.size_bytes} bytes): {error}",
                pool_id=root.pool_id,
            ) from error
        raise
    return cloud_init.is_shortened(seed)


def _fingerprint(client: Client, image: ImageRef, scope: Scope) -> str:
    """Raises ImageMissing without the copy."""
    fingerprint = images.find(client, image, scope)
    if fingerprint is None:
        raise ImageMissing(f"{client.place} lacks the image {image.sha256} in the project '{scope.project}'.")
    return fingerprint


def undeploy(client: Client, instances: Instances, spec: GuestSpec, *, erase: bool, overwrite: bool) -> None:
    """Behaves as the driver contract says."""
    root_disk = spec.root_disk()
    if overwrite:
        _check_overwritable(client, spec.disks if erase else (root_disk,))
    original = stopped_instance(instances, spec.ref)
    leases, network = _addresses(client, instances, spec)
    root = RootDisk(fingerprint=None, cloud_init=network, leases=leases)
    name = give_root_disk(instances, original, root, spec.marker)
    if erase:
        _erase_volumes(client, instances, spec, name, instances.scope_of(original))


def _check_overwritable(client: Client, disks: Iterable[DiskSpec]) -> None:
    """Raises Unsupported for a storage pool whose new volumes have the content of deleted ones: LXD overwrites no
    volume.
    """
    for pool in sorted({disk.pool_id for disk in disks}):
        found = client.get(path("storage-pools", pool))
        is_thin = is_true((found.get("config") or {}).get("lvm.use_thinpool"), unset=True)
        if found.get("driver") == "lvm" and not is_thin:
            raise Unsupported(
                f"{client.dialect.product} cannot overwrite disks in the storage pool {pool}, which is LVM without a "
                "thin pool. Release the machine without secure_erase, and overwrite the free space of the volume "
                "group by hand."
            )


def _erase_volumes(client: Client, instances: Instances, spec: GuestSpec, name: str, scope: Scope) -> None:
    """Creates the custom volumes of `spec` that the instance has again, without content. Idempotent."""

    def make(disks: Sequence[DiskSpec]) -> None:
        volumes.create(client, disks, scope, created=[])  # deletes those that exist and are not attached

    if count := make_anew(instances, name, spec.disks[1:], make):
        log.info("volumes_emptied", guest=name, volumes=count)


def set_addresses(client: Client, instances: Instances, spec: GuestSpec) -> None:
    """Behaves as the driver contract says."""
    found = stopped_instance(instances, spec.ref)
    check_no_saved_memory(instances, found, what="its addresses")
    where = path("instances", found["name"])
    leases, network = _addresses(client, instances, spec)
    instance, etag = client.get_with_etag(where, project=instances.scope.project)
    body = instance_config.with_addresses(instance, network, leases)
    client.put(where, body, etag=etag, project=instances.scope.project)


def _addresses(
    client: Client, instances: Instances, spec: GuestSpec
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Returns what brings the guest its static addresses: the leases of its NICs as `leases_of` does, and the keys of
    cloud-init's network config for the others.
    """
    networks = preflight.networks_of(client, spec.nics, instances.scope)
    prerequisites = instance_config.Prerequisites(networks=networks, capabilities=instances.capabilities)
    text = instance_config.network_config_of(spec, prerequisites)
    network = {} if text is None else {cloud_init.key(cloud_init.NETWORK_CONFIG, instances.capabilities): text}
    return preflight.leases_of(client, spec.nics, networks, instances.scope), network
