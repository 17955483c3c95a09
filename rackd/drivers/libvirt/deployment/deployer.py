"""Writes an operating system to a guest, and removes it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

import structlog

from common.disks.disk_firmware import HEAD_BYTES, boots_with_uefi_only
from common.errors import ImageMissing, Unsupported, WrongState
from common.guests.deployment_spec import CloudInitSeed, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import PowerState
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.image_content import check_image_fits
from rackd.drivers.libvirt.addresses import cloud_init_seed, dhcp_reservations
from rackd.drivers.libvirt.addresses.delivery import Delivery, Reservation
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.storage_objects import Volume
from rackd.drivers.libvirt.definitions.domain_xml import DomainCapabilities, volume_xml
from rackd.drivers.libvirt.definitions.firmware_xml import has_uefi, set_bios, set_uefi
from rackd.drivers.libvirt.definitions.metadata import reservations_in, set_reservations
from rackd.drivers.libvirt.deployment import redefinition
from rackd.drivers.libvirt.deployment.images import find_image
from rackd.drivers.libvirt.guests import serial_log
from rackd.drivers.libvirt.guests.disks import volumes
from rackd.drivers.libvirt.guests.disks.dependents import dependents_of
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool, refresh
from rackd.drivers.libvirt.guests.disks.volume_users import volume_users
from rackd.drivers.libvirt.guests.lookup import definition_of, disks_named, marked_domain, pool_paths
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element, text_at

_BIOS_ARCHITECTURES = {"amd64", "i386"}
# A new logical volume has the content of an earlier one. Without its first and last sectors, which have the partition
# table and its copy, no firmware finds an operating system there.
_WIPED_BYTES = 1024 * 1024

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def deploy(
    client: Client, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed, capabilities: DomainCapabilities
) -> None:
    """Idempotent; errors are those of the driver contract, and Unsupported without the firmware that the image needs.

    Everything that can be checked is checked before the old content of the root disk is deleted.
    """
    root = spec.root_disk()
    domain = _powered_off(client, spec)
    tree = definition_of(domain)
    redefinition.boot_from_disk(tree, root.volume)
    if image.uefi:
        _require_uefi(tree, capabilities)
    check_image_fits(image, root)
    before = reservations_in(tree)
    delivery = dhcp_reservations.plan_replacement(client, spec, before)
    pool = guest_pool(client, root.pool_id)
    source = find_image(pool, image)
    if source is None:
        raise ImageMissing(
            f"The storage pool {pool.pool.name} has no complete copy of the image.", pool_id=root.pool_id
        )
    _check_places(client, tree, [root])
    _check_unshared(client, domain, {root.pool_id: pool}, [root])
    domain.discard_saved_memory()
    written = write_image(pool, root, source)
    _set_firmware(tree, spec, capabilities, uefi=image.uefi or boots_with_uefi_only(written.head(HEAD_BYTES)))
    content = cloud_init_seed.image(cloud_init_seed.deployment_files(seed))
    prepared = volumes.create_seed(pool, spec.marker, content, created=[])
    redefinition.set_seed(tree, spec.marker, prepared)
    serial_log.add(tree, spec, pool)
    _define(client, domain, tree, before, delivery)
    log.info("image_deployed", guest=domain.name, sha256=image.sha256, uefi=has_uefi(tree))


def make_bootable(client: Client, spec: GuestSpec, capabilities: DomainCapabilities) -> None:
    """Idempotent; errors are those of the driver contract."""
    root = spec.root_disk()
    domain = _powered_off(client, spec)
    tree = definition_of(domain)
    redefinition.boot_from_disk(tree, root.volume)
    pool = guest_pool(client, root.pool_id)
    volume = pool.required_volume(root.volume)
    _set_firmware(tree, spec, capabilities, uefi=boots_with_uefi_only(volume.head(HEAD_BYTES)))
    client.define(ET.tostring(tree, encoding="unicode"), domain.name)
    log.info("guest_made_bootable", guest=domain.name, uefi=has_uefi(tree))


def undeploy(client: Client, spec: GuestSpec, *, erase: bool, overwrite: bool) -> None:
    """Idempotent; errors are those of the driver contract. The firmware stays as it is."""
    root = spec.root_disk()
    domain = _powered_off(client, spec)
    tree = definition_of(domain)
    pool = guest_pool(client, root.pool_id)
    delivery = dhcp_reservations.plan_replacement(client, spec, reservations_in(tree))
    emptied = [root, *redefinition.disks_in(tree, spec.disks[1:])] if erase else [root]
    pools = {pool_id: guest_pool(client, pool_id) for pool_id in {disk.pool_id for disk in emptied}}
    _check_places(client, tree, emptied)
    _check_unshared(client, domain, pools, emptied)
    domain.discard_saved_memory()
    for disk in emptied:
        empty_disk(pools[disk.pool_id], disk, overwrite=overwrite)
    redefinition.boot_from_nics(tree, [nic.mac_address for nic in spec.nics if nic.boot], root.volume)
    _restore_seed(client, spec, domain, tree, pool, delivery)
    log.info("disks_emptied", guest=domain.name, disks=len(emptied))


def set_addresses(client: Client, spec: GuestSpec) -> None:
    """Idempotent; errors are those of the driver contract."""
    domain = _powered_off(client, spec)
    tree = definition_of(domain)
    pool = guest_pool(client, spec.root_disk().pool_id)
    delivery = dhcp_reservations.plan_replacement(client, spec, reservations_in(tree))
    domain.discard_saved_memory()  # that guest has the addresses of before
    _restore_seed(client, spec, domain, tree, pool, delivery)
    log.info("addresses_set", guest=domain.name, reservations=len(delivery.reservations))


def write_image(pool: GuestPool, disk: DiskSpec, image: Volume) -> Volume:
    """Creates the volume of `disk` again, with the content of `image` and the size of the disk. Idempotent."""
    volumes.delete_from(pool.pool, disk.volume)
    volume = pool.pool.clone(volume_xml(disk.volume, disk.size_bytes, pool.type), disk.volume, image)
    if volume.capacity_bytes() < disk.size_bytes:  # libvirt gives a converted volume the size of its source
        volume.resize(disk.size_bytes)
    return volume


def empty_disk(pool: GuestPool, disk: DiskSpec, *, overwrite: bool) -> None:
    """Creates the volume of `disk` again, without content. Idempotent.

    With `overwrite`, logical volumes are first filled with zeros; volumes of other pools never show old content.
    """
    is_logical = pool.type == "logical"
    old = pool.pool.volume(disk.volume) if is_logical and overwrite else None
    if old is not None:
        old.wipe()
    volumes.delete_from(pool.pool, disk.volume)
    volume = volumes.create_empty(pool, disk)
    if is_logical:
        size_bytes = volume.capacity_bytes()
        wiped = bytes(min(_WIPED_BYTES, size_bytes))
        for offset in {0, size_bytes - len(wiped)}:
            volume.write(wiped, offset=offset)


def _check_places(client: Client, tree: Element, disks: Sequence[DiskSpec]) -> None:
    """Raises WrongState for a disk that somebody moved to a folder inside its pool, or to another pool.

    The guest would keep the old content: a volume that is made anew is where the disk was before.
    """
    paths = pool_paths(client)
    for disk in disks:
        found = disks_named(tree, paths, disk.volume)
        elsewhere = [path for path, place in found if place is not None]
        if elsewhere and (disk.pool_id, disk.volume) not in [place for _, place in found]:
            name = text_at(tree, "name")
            raise WrongState(
                f"The content of {disk.volume}, a disk of {name}, cannot be replaced: it is {elsewhere[0]}, no volume "
                "of the storage pool that has the disk. Nothing was changed. Move the file back on the host, and give "
                f"{name} that path: virsh edit.",
                volume=disk.volume,
            )


def _check_unshared(client: Client, domain: Domain, pools: Mapping[str, GuestPool], disks: Sequence[DiskSpec]) -> None:
    """Raises WrongState if another guest uses one of the disks, or another volume is based on it."""
    guests = volume_users(client)
    for pool_id, pool in sorted(pools.items()):
        names = [disk.volume for disk in disks if disk.pool_id == pool_id]
        refresh(pool)  # libvirt finds out the base of a volume only when it reads the pool again
        dependents = dependents_of(client, pool.pool, names)
        for name in names:
            users = [
                *(f"the guest {other} uses it" for other in sorted(guests.of_volume(pool.pool, name) - {domain.name})),
                *(f"the volume {other} is based on it" for other in sorted(dependents[name])),
            ]
            if users:
                raise WrongState(
                    f"The content of {name} in the storage pool {pool.pool.name}, a disk of {domain.name}, cannot be "
                    f"replaced: {', '.join(users)}. Nothing was changed. On the host, detach it from other guests "
                    "(virsh detach-disk), and delete the volumes that are based on it, or make them independent: "
                    "qemu-img rebase -b ''.",
                    volume=name,
                )


def _restore_seed(
    client: Client, spec: GuestSpec, domain: Domain, tree: Element, pool: GuestPool, delivery: Delivery
) -> None:
    """Defines the domain with the seed of compose, or without one if its addresses need none."""
    prepared = None
    if delivery.network_config is not None:
        content = cloud_init_seed.image(cloud_init_seed.files(spec, delivery.network_config))
        prepared = volumes.create_seed(pool, spec.marker, content, created=[])
    redefinition.set_seed(tree, spec.marker, prepared)
    _define(client, domain, tree, reservations_in(tree), delivery)
    if prepared is None:
        volumes.delete_seed(pool, spec.marker)


def _define(client: Client, domain: Domain, tree: Element, before: tuple[Reservation, ...], delivery: Delivery) -> None:
    """Defines the domain, and replaces its reservations `before`. At any moment its metadata has all that exist."""
    after = delivery.reservations
    set_reservations(tree, dict.fromkeys((*before, *after)))
    client.define(ET.tostring(tree, encoding="unicode"), domain.name)
    dhcp_reservations.replace(client, before, after)
    if set(before) - set(after):
        set_reservations(tree, after)
        client.define(ET.tostring(tree, encoding="unicode"), domain.name)


def _powered_off(client: Client, spec: GuestSpec) -> Domain:
    domain = required_guest(marked_domain(client, spec.ref), spec.ref)
    if power_of(domain.state()) is not PowerState.OFF:
        raise WrongState(f"The guest {domain.name} is not off.", name=domain.name)
    return domain


def _require_uefi(tree: Element, capabilities: DomainCapabilities) -> None:
    if not (has_uefi(tree) or capabilities.firmware_efi):
        raise Unsupported(
            "The image boots with UEFI firmware, which the host lacks. On that host: apt install ovmf "
            "(or the package edk2-ovmf of its distribution)."
        )


def _set_firmware(tree: Element, spec: GuestSpec, capabilities: DomainCapabilities, *, uefi: bool) -> None:
    if spec.architecture not in _BIOS_ARCHITECTURES:
        return  # chosen when the guest was composed
    if uefi:
        _require_uefi(tree, capabilities)
        set_uefi(tree)
    else:
        set_bios(tree)
