"""Implements the driver contract for one project of an LXD server or cluster member."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import structlog
from attrs import evolve

from common.boot import BootDevice, BootOnce, BootOrder, BootOrders, IsoState
from common.disks.disk_content import CopiedDisk, ReadPart
from common.guests.deployment_spec import CloudInitSeed, HostImage, ImageRef
from common.guests.guest_content import GuestContent
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize, Resized
from common.hosts.discovery import Discovery, VolumeRef
from common.values import Autostart, Guest, GuestChange, GuestRef, OwnershipMarker, PowerAction, PowerState, Project
from rackd.drivers.contract import Driver, ImageContent
from rackd.drivers.driver_errors import after_power_action, checks_answers
from rackd.drivers.lxd.connection import trust
from rackd.drivers.lxd.connection.capabilities import check_usable
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.connection.console_stream import LxdConsole
from rackd.drivers.lxd.connection.events import Watch
from rackd.drivers.lxd.connection.metrics import MetricsReader
from rackd.drivers.lxd.guests import boot_order, compose, deletion, deployer, nic_changes, ownership, resizing, starts
from rackd.drivers.lxd.guests.consoles import console
from rackd.drivers.lxd.guests.consoles.screens import Screens
from rackd.drivers.lxd.guests.disks import boot_disk, disk_changes, disk_growth, disk_imports, disk_moves
from rackd.drivers.lxd.guests.disks.disk_backups import DiskBackups
from rackd.drivers.lxd.guests.disks.volumes import delete_orphaned
from rackd.drivers.lxd.guests.host_project import HostProject
from rackd.drivers.lxd.guests.image_files import images, own_images
from rackd.drivers.lxd.guests.instance_config import autostart_config
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.iso import iso_drives, iso_images
from rackd.drivers.lxd.guests.power import PowerControl
from rackd.drivers.lxd.guests.rebuild import replacement
from rackd.drivers.lxd.inventory import facts, reader, usage
from rackd.drivers.lxd.inventory.addresses import read_addresses_of, read_snapshots_of
from rackd.drivers.lxd.inventory.ownership import Json, config_of
from rackd.drivers.lxd.inventory.settings import LxdSettings
from rackd.drivers.lxd.inventory.volume_index import volume_projects_of
from rackd.drivers.usage_counters import HostCounters

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@checks_answers
class LxdDriver(LxdSettings, Driver):
    """Contacts the server at the first method call, not before."""

    def __init__(
        self, client: Client, scope: Scope, *, own_pem: str, pinned_pem: str, closing: threading.Event
    ) -> None:
        """`scope.member` None means the member that answers. `closing` interrupts every wait."""
        self._client = client
        self._scope = scope
        self._own_pem, self._pinned_pem = own_pem, pinned_pem
        self._closing = closing
        self._instances: Instances | None = None
        self._project = HostProject(client=client, name=scope.project, reach=self.reach)
        self._watches: set[Watch] = set()
        self._metrics = MetricsReader(client)
        self._screens = Screens()
        self._backups = DiskBackups()
        self._failed_copies = iso_images.FailedCopies()

    def reach(self) -> str:
        server = self._client.server()
        check_usable(server, self._client.address.normalised)
        return str(server["environment"]["server_version"])

    def discover(self) -> Discovery:
        self._ready()
        calls_before = self._client.calls
        responses = reader.read_server(self._client, self._scope)
        guests, problems = reader.guests_of(responses)
        return Discovery(
            facts=facts.facts_of(responses, guests),
            guests=tuple(guests),
            on_other_members=tuple(reader.marked_elsewhere(responses)),
            problems=tuple(problems),
            calls=self._client.calls - calls_before,
            orphaned_volumes=tuple(
                sorted(reader.orphaned_volumes(responses), key=lambda one: (one.pool_id, one.project, one.name))
            ),
            inspected_pools=tuple(responses.pools_with_volumes),
            image_copies=responses.image_copies,
            image_pools=("", *responses.pools_with_volumes),
        )

    def usage(self) -> HostCounters:
        scope = self._ready().scope
        calls_before = self._metrics.calls
        text = self._metrics.text(scope)
        return usage.counters_of(text, calls=self._metrics.calls - calls_before)

    def find(self, guest: GuestRef) -> Guest | None:
        instances = self._ready()
        found = instances.marked(name=guest.name, marker=guest.marker)
        if found is None:
            return None
        return instances.guest(
            found,
            read_addresses_of(self._client, found, instances.scope),
            read_snapshots_of(self._client, found, instances.scope),
        )

    def compose(self, spec: GuestSpec) -> Guest:
        instances = self._ready()
        self._project.check()
        return compose.compose(self._client, instances, spec, self._power)

    def clone(self, spec: GuestSpec, content: GuestContent) -> Guest:
        """LXD copies the variables of the firmware and the state of a TPM with the root disk."""
        instances = self._ready()
        self._project.check()
        return compose.compose(self._client, instances, spec, self._power, content)

    def decompose(
        self,
        guest: GuestRef,
        volumes: tuple[tuple[str, str], ...] = (),
        mac_addresses: tuple[str, ...] = (),
        guest_id: str | None = None,
    ) -> None:
        deletion.delete_guest(self._client, self._ready(), guest, volumes, self._power, only=guest_id)

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef], *, adopted: bool = False) -> None:
        scope = self._ready().scope
        volume_projects = volume_projects_of(self._client.get("projects", recursion="1"))
        own_project = volume_projects.get(scope.project)
        delete_orphaned(self._client, None if adopted else marker, volumes, scope, volume_project=own_project)

    def power(
        self,
        guest: GuestRef,
        action: PowerAction,
        *,
        grace_s: float,
        autostart: Autostart | None = None,
        size: GuestSize | None = None,
        disk_sizes: tuple[DiskSize, ...] = (),
        boot_once: BootOnce | None = None,
    ) -> PowerState:
        """LXD stores the last state itself, so that `autostart` changes nothing after the first time."""
        instances = self._ready()
        found = instances.of_machine(guest)
        control = self._power(instances, found["name"])
        changes = starts.StartChanges(size=size, disk_sizes=disk_sizes, boot_once=boot_once)
        state = starts.switch(instances, found, control, action, grace_s=grace_s, changes=changes)
        if autostart is not None:
            with after_power_action(guest):
                _set_autostart(instances, found, autostart)
        return state

    def resize(self, guest: GuestRef, size: GuestSize) -> Resized:
        return resizing.resize(self._ready(), guest, size)

    def resize_placed(self, guest: GuestRef, size: GuestSize, placement: GuestPlacement) -> Resized:
        """The memory of a guest with pinned cores is on the nodes of these, which LXD sees to."""
        return resizing.resize_placed(self._ready(), guest, size, placement)

    def attach_disk(self, guest: GuestRef, disk: DiskSpec, index: int, *, create: bool) -> PowerState:
        return disk_changes.attach(self._ready(), guest, disk, index, create=create)

    def detach_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        """Raises WrongState for the root disk. LXD takes other disks from a running guest that uses them, too."""
        return disk_changes.detach(self._ready(), guest, pool_id, volume)

    def grow_disk(self, guest: GuestRef, size: DiskSize) -> GrownDisk:
        """The root disk of a running guest grows when Innkeeper next starts it."""
        return disk_growth.grow(self._ready(), guest, size)

    def copy_disk(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        """Copies no root disk: `use_copy` has LXD move it. Raises WrongState for a disk of a profile."""
        return disk_moves.copy_disk(self._ready(), guest, pool_id, volume, copy)

    def use_copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        """LXD itself moves a root disk, and deletes the volume of before. The guest then has another id."""
        return disk_moves.use_copy(self._ready(), guest, pool_id, volume, copy, state)

    def begin_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        self._backups.begin(self._ready(), guest, pool_id, volume)

    def read_disk(self, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        return self._backups.read(self._ready(), guest, pool_id, volume, start)

    def end_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        self._backups.end(self._ready(), guest, pool_id, volume)

    def fill_disk(self, spec: GuestSpec, volume: str, image: ImageRef, content: ImageContent) -> None:
        disk_imports.fill(self._client, self._ready(), spec, volume, image, content)

    def make_bootable(self, spec: GuestSpec) -> None:
        """LXD has UEFI firmware for every guest."""
        instances = self._ready()
        replacement.stopped_instance(instances, spec.ref)
        boot_order.set_order(instances, spec.ref, (BootDevice.DISK,), check_only=False)

    def attach_nic(self, guest: GuestRef, nic: NicSpec) -> PowerState:
        return nic_changes.attach(self._ready(), guest, nic)

    def change_nic(self, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
        """Raises WrongState for a NIC of a profile."""
        return nic_changes.change(self._ready(), guest, mac_address, nic)

    def detach_nic(self, guest: GuestRef, mac_address: str) -> PowerState:
        """Raises WrongState for a NIC of a profile."""
        return nic_changes.detach(self._ready(), guest, mac_address)

    def set_autostart(self, guest: GuestRef, autostart: Autostart) -> Autostart:
        instances = self._ready()
        _set_autostart(instances, instances.of_machine(guest), autostart)
        return autostart

    def set_boot_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        """The choice for a running guest takes effect when Innkeeper next starts it."""
        return boot_disk.choose(self._ready(), guest, pool_id, volume)

    def set_boot_order(self, guest: GuestRef, order: BootOrder, *, check_only: bool = False) -> BootOrders:
        """The order of a running guest changes when Innkeeper next stops or starts it."""
        return boot_order.set_order(self._ready(), guest, order, check_only=check_only)

    def insert_iso(self, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool = False) -> IsoState:
        """Raises Unsupported for a server without storage volumes of ISO images, such as LXD 5.0."""
        return iso_drives.insert(self._ready(), guest, sha256, pool_id, check_only=check_only)

    def eject_iso(self, guest: GuestRef) -> IsoState:
        return iso_drives.eject(self._ready(), guest)

    def console_log(self, guest: GuestRef, *, max_bytes: int) -> bytes:
        """Raises Unsupported with LXD releases that keep no log of a virtual machine's console, such as 5.0."""
        return console.read_log(self._ready(), guest, max_bytes=max_bytes)

    def open_console(self, guest: GuestRef) -> LxdConsole:
        return console.open_console(self._ready(), guest)

    def open_screen(self, guest: GuestRef) -> LxdConsole:
        return self._screens.open(self._ready(), guest)

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        instances = self._ready()
        if image.iso:
            return iso_images.copy(instances, image, pool_id, content, self._failed_copies)
        architecture = str(self._client.server()["environment"]["kernel_architecture"])
        images.copy(self._client, image, pool_id, content, instances.scope, architecture)

    def remove_image(self, sha256: str, pool_id: str) -> None:
        """A volume that LXD has unpacked from an image goes with the image; one of an ISO image is removed."""
        scope = self._ready().scope
        if pool_id:
            iso_images.remove(self._client, sha256, pool_id, scope)
        else:
            images.remove(self._client, sha256, scope)

    def find_image(self, *, fingerprint: str = "", alias: str = "") -> HostImage:
        return own_images.find(self._client, self._ready().scope, fingerprint=fingerprint, alias=alias)

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        return deployer.deploy(self._client, self._ready(), spec, image, seed)

    def undeploy(self, spec: GuestSpec, *, erase: bool = False, overwrite: bool = False) -> None:
        """Raises Unsupported with `overwrite` for a storage pool of LVM without a thin pool."""
        deployer.undeploy(self._client, self._ready(), spec, erase=erase, overwrite=overwrite)

    def set_addresses(self, spec: GuestSpec) -> None:
        deployer.set_addresses(self._client, self._ready(), spec)

    def adopt(self, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
        """Raises Unsupported for a container."""
        return ownership.adopt(self._ready(), guest_id, name, marker)

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        ownership.disown(self._ready(), guest_id, name, marker, exactly=exactly)

    def set_generation(self, guest: GuestRef, generation: int) -> None:
        ownership.set_generation(self._ready(), guest, generation)

    def projects(self) -> tuple[Project, ...]:
        """Returns the projects that the certificate may see; in a cluster with the guests of all members."""
        self._ready()
        responses = reader.read_server(self._client, evolve(self._scope, project=self._project.or_visible()))
        guests, _ = reader.guests_of(evolve(responses, member=None))
        return facts.projects_of(responses.projects, guests)

    def make_project(self, description: str) -> None:
        self.reach()
        self._project.make(description)

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        trust.trust(
            self._client,
            own_pem=self._own_pem,
            pinned_pem=self._pinned_pem,
            certificate_pem=certificate_pem,
            name=name,
            secret=secret,
        )

    def untrust(self, fingerprint: str) -> None:
        if trust.is_gone(self._client, fingerprint, own_pem=self._own_pem):
            return
        self.reach()
        trust.untrust(self._client, fingerprint, own_pem=self._own_pem)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        watch = Watch(self._client, self._ready().scope, notify)
        self._watches.add(watch)

        def stop() -> None:
            watch.stop()
            self._watches.discard(watch)

        return stop

    def close(self) -> None:
        self._closing.set()
        for watch in tuple(self._watches):
            watch.stop()
        self._watches.clear()
        self._metrics.close()
        self._client.close()

    def _ready(self) -> Instances:
        """Checks the server and resolves the cluster member, once per driver."""
        if self._instances is None:
            server = self._client.server()
            usable = check_usable(server, self._client.address.normalised)
            scope = evolve(self._scope, member=facts.member_of(server, self._scope.member))
            self._instances = Instances(client=self._client, scope=scope, capabilities=usable)
        return self._instances

    def _power(self, instances: Instances, name: str) -> PowerControl:
        return PowerControl(client=self._client, name=name, project=instances.scope.project, closing=self._closing)


def _set_autostart(instances: Instances, found: Json, autostart: Autostart) -> None:
    wanted = autostart_config(autostart)
    if any(config_of(found).get(key, "") != text for key, text in wanted.items()):
        instances.change_config(str(found["name"]), wanted)
