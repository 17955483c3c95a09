"""Images on a simulated host, and the root disks of its guests."""

from __future__ import annotations

import sqlite3

from attrs import evolve

from common.addresses.simulated import SimulatedAddress
from common.errors import ImageMissing, WrongState
from common.guests.deployment_spec import CloudInitSeed, ImageRef
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerState
from rackd.drivers.contract import ImageContent
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.image_content import check_image_fits, verified_parts
from rackd.drivers.simulated import boot_orders, deployments, guest_resources, guests, leases, own_images
from rackd.drivers.simulated.capacity_checks import check_pool_exists, check_pool_space
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store


class SimulatedDeployer:
    def __init__(self, address: SimulatedAddress, store: Store, faults: FaultInjector) -> None:
        self._address = address
        self._store = store
        self._faults = faults

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        self._faults.call("find image")
        check_pool_exists(self._address, pool_id)
        with self._store.reading() as db:
            if deployments.has_image(db, pool_id, image):
                return
        for _ in verified_parts(image, content):
            pass
        self._faults.call("copy image")
        with self._store.writing() as db:
            used_bytes = guests.pool_used_bytes(db, pool_id)
            check_pool_space(self._address, pool_id, used_bytes, image.size_bytes, "The image")
            deployments.add_image(db, pool_id, image)

    def remove_image(self, sha256: str, pool_id: str) -> None:
        self._faults.call("remove image")
        with self._store.writing() as db:
            deployments.remove_image(db, pool_id, sha256)

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        self._faults.call("write root disk")
        root = spec.root_disk()
        with self._store.writing() as db:
            guest = self._powered_off(db, spec)
            if image.of_host:
                found = own_images.find(self._address, fingerprint=image.sha256)
                image = evolve(image, virtual_size_bytes=found.virtual_size_bytes or 0)
            elif not deployments.has_image(db, root.pool_id, image):
                raise ImageMissing(f"The storage pool {root.pool_id} of {self._address.identity} lacks the image.")
            check_image_fits(image, root)
            stored = self._stored(seed)
            self._set_nics(db, guest, spec)
            boot_orders.forget(db, guest.guest_id)
            deployments.write(db, guest.guest_id, image, seed, user_data=stored)
        return stored != seed.user_data

    def _stored(self, seed: CloudInitSeed) -> bytes:
        """The user data that the host stores."""
        limit_kib = self._address.max_user_data_kib
        if seed.short_user_data is None or not limit_kib or len(seed.user_data) <= limit_kib * 1024:
            return seed.user_data
        return seed.short_user_data

    def undeploy(self, spec: GuestSpec, *, erase: bool) -> None:
        self._faults.call("empty root disk")
        root = spec.root_disk()
        with self._store.writing() as db:
            guest = self._powered_off(db, spec)
            self._set_nics(db, guest, spec)
            boot_orders.forget(db, guest.guest_id)
            deployments.erase(db, guest.guest_id)
            for disk in spec.disks if erase else (root,):
                deployments.empty(db, disk.pool_id, disk.volume)

    def set_addresses(self, spec: GuestSpec) -> None:
        self._faults.call("set addresses")
        with self._store.writing() as db:
            self._set_nics(db, self._powered_off(db, spec), spec)

    def _set_nics(self, db: sqlite3.Connection, guest: Guest, spec: GuestSpec) -> None:
        guest_resources.check_addresses_free(db, guest.guest_id, spec.nics)
        guest_resources.set_nics(db, guest.guest_id, spec.nics)
        leases.forget(db, guest.guest_id)

    def _powered_off(self, db: sqlite3.Connection, spec: GuestSpec) -> Guest:
        found = required_guest(guests.by_marker(db, spec.marker), spec.ref)
        if found.power is not PowerState.OFF:
            raise WrongState(f"The guest '{found.name}' on {self._address.identity} runs.", name=found.name)
        return found
