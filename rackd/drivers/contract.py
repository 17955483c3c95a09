"""The contract of every driver: what each method returns, raises and may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from common.boot import BootOnce, BootOrder, BootOrders, IsoState, StartOrder
from common.deployment_spec import CloudInitSeed, HostImage, ImageRef
from common.discovery import Discovery, VolumeRef
from common.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.values import (
    Autostart,
    DiskSize,
    GrownDisk,
    Guest,
    GuestChange,
    GuestRef,
    GuestSize,
    HostAccess,
    OwnershipMarker,
    PeerIdentity,
    PowerAction,
    PowerState,
    Project,
    Resized,
)
from rackd.drivers.usage_counters import HostCounters


class ImageContent(Protocol):
    """The content of an image, read by blocking calls."""

    def read(self, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes from `offset`; fewer only at the end. Raises NotFound, LinkLost."""


class ConsoleStream(Protocol):
    """An open console of a guest. Two threads use it: one reads, the other writes; any thread closes it.

    Every method may raise HostUnreachable and DriverFailed.
    """

    def read(self) -> bytes:
        """Waits for output of the guest and returns some of it; empty at the end, also after `close`."""

    def write(self, data: bytes) -> None:
        """Returns when the hypervisor has taken the input."""

    def close(self) -> None:
        """Ends the console for both sides. Idempotent; raises nothing."""


class Driver(Protocol):
    """One host, called from its slot's thread, one call at a time.

    Any method may raise HostUnreachable (retry later), NotTrusted or PeerChanged (a person must act), or DriverFailed
    with the hypervisor's reason. Only guests and volumes with our marker are changed. `tests/contract/` runs the same
    tests against every driver.
    """

    def reach(self) -> str:
        """Returns the hypervisor's version, in one cheap call."""

    def discover(self) -> Discovery:
        """Returns facts of the host and all its guests. Only reads; the number of calls does not grow with the guests.

        If a hypervisor reports pins and NICs of one guest at a time, the driver reads each new guest once, and again
        after a change. A guest whose details are unknown is marked incomplete, and a Problem gives the reason. A guest
        that cannot be read at all becomes a Problem; the others are returned.

        Orphaned volumes are those named after a marker that no guest of any project uses, listed in one call per
        storage pool. The pools for which this is known are named; none is if the volumes of any guest are unknown.

        Copies of images are those that `copy_image` made, of any installation.
        """

    def usage(self) -> HostCounters:
        """Returns what the host and each running guest, managed or not, have used so far. Only reads.

        The number of calls does not grow with the guests, and no guest that hangs delays the others. A counter never
        falls while its guest runs. The answer can be some seconds old. A host that is a project of a server may report
        guests of other projects, too.
        """

    def compose(self, spec: GuestSpec) -> Guest:
        """Returns the guest with `spec.marker`, created or completed, powered off. Idempotent.

        Raises NameTaken if a guest without that marker has the name, OutOfCapacity if a storage pool or the huge pages
        do not suffice, NotFound naming a missing storage pool, network or core, Unsupported for what this hypervisor
        cannot do, such as Secure Boot or a TPM, and WrongState if the host has reserved an address for another NIC. On
        failure it removes what it created, as far as the host allows.
        """

    def decompose(
        self, guest: GuestRef, volumes: tuple[tuple[str, str], ...] = (), mac_addresses: tuple[str, ...] = ()
    ) -> None:
        """Returns when the guest and the volumes created for it are deleted. Idempotent.

        `volumes` has the (pool_id, volume) pairs given at compose. Disks attached later, shared volumes and ISO images
        are not deleted, nor are the disks of an adopted guest, if the hypervisor can retain a disk without its guest.

        `mac_addresses` are those of the NICs created at compose: their DHCP reservations are removed even if the guest
        was deleted by someone else.
        """

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef]) -> None:
        """Returns when those of `volumes` that are named after `marker` are deleted. Idempotent.

        Changes no guest. Raises WrongState, after deleting the others, for volumes that a guest uses or on which
        another volume depends.
        """

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
        """Returns the new state when the hypervisor reports it. Idempotent. Raises NotFound without the guest.

        OFF requests a shutdown and forces the guest off after `grace_s` seconds. Then does what `set_autostart` does
        with `autostart`; None: nothing. A failure of that is logged: the reconciler repairs it.

        Gives a guest `size`, and its disks `disk_sizes`, before it starts from off, by ON or CYCLE; None: nothing. If
        the host refuses a size, that is logged, and the guest starts with the one that it has. Such a start, but not
        the end of saved memory, boots in the order of `boot_once`, as `Guest.booted_once` then says; the guest's own
        order stays for each later start by this method. If that is refused, it is logged, and the guest boots as usual.
        """

    def resize(self, guest: GuestRef, size: GuestSize) -> Resized:
        """Returns the size that the guest has now. Idempotent. Raises NotFound without the guest.

        A guest that is off gets all of `size`. Of a running one, what the hypervisor can safely change now is changed,
        and memory never taken away. The rest is no error: `power` with the same size applies it at the next start.

        Raises, with nothing changed: OutOfCapacity or Unsupported for a size that the host refuses for good,
        Unsupported for another number of cores if some are pinned, WrongState for a guest that is not off and has
        pinned cores, huge pages or chosen NUMA nodes.
        """

    def attach_disk(self, guest: GuestRef, disk: DiskSpec, index: int, *, create: bool) -> PowerState:
        """Returns the power state once the guest has the disk: at once, also if it runs. Idempotent.

        With `create` the volume is made first, empty, if it does not exist; no existing volume is emptied or deleted.
        `index` is the disk's number in its machine, from 1: LXD's device is named after it. `disk.serial` is what the
        guest reads, where the hypervisor lets it be chosen.

        Raises, with nothing changed: NotFound without the guest, the storage pool, or (without `create`) the volume;
        OutOfCapacity; WrongState if another guest uses the volume, if the guest has another disk of that index, if the
        volume exists in another size than a new one would have, or if a running guest can take no more disks: then it
        can while it is off.
        """

    def detach_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        """Returns the power state once the guest does not have the disk, now and at its next start. Idempotent.

        The volume stays, with its content. Raises NotFound without the guest; WrongState, with nothing changed, if a
        running guest does not give the disk back within seconds, because its system uses it or is not up.

        LXD takes a disk from a running guest that uses it, too: what the guest has not written yet is lost, and its
        file system on the disk fails.
        """

    def grow_disk(self, guest: GuestRef, size: DiskSize) -> GrownDisk:
        """Returns the size that the disk has now. Idempotent. Never makes a disk smaller.

        A guest that is off gets all of it. Of a running one, the disk grows if the hypervisor can do that now. If not,
        that is no error: `power` with the same size does it at the next start.

        Raises, with nothing changed: NotFound without the guest or the disk, OutOfCapacity if the storage pool has too
        little space left, Unsupported for a volume that cannot grow.
        """

    def copy_disk(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> str:
        """Returns the state of the disk that was copied, for `use_copy`, once the volume `copy` is complete.

        The copy is in another storage pool and has a name that no other volume ever had: a volume of that name is what
        an earlier call left, and is replaced. The guest and its disk do not change. Copies nothing if the guest uses
        the copy already, and if only `use_copy` can move the disk, as LXD's root disk.

        Raises, with no copy left: NotFound without the guest, the disk or the storage pool; OutOfCapacity; WrongState
        unless the guest is off, and if another guest uses one of the volumes or another volume depends on the disk;
        Unsupported for a disk that this hypervisor cannot copy so that its content is the same.
        """

    def use_copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        """Returns the power state once the guest has the copy in the place of the disk, with its serial and place in
        the boot order. Idempotent.

        The disk's volume stays, with its content; of LXD's root disk only the moved one. `state` is what `copy_disk`
        returned: raises Busy, which asks for another copy, if the guest was started since. Raises NotFound without the
        guest, the disk or the copy; WrongState unless the guest is off.
        """

    def attach_nic(self, guest: GuestRef, nic: NicSpec) -> PowerState:
        """Returns the power state once the guest has the NIC: at once, also if it runs. Idempotent by its MAC address.

        The host's DHCP server reserves the static address, if it can serve it, as `compose` does. The cloud-init data
        of the guest stay as they are: its system configures the NIC itself, or the next deployment does.

        Raises, with nothing changed: NotFound without the guest, or naming the missing network or interface;
        OutOfCapacity without a free virtual function; Unsupported for what this hypervisor cannot do; WrongState if
        the host has reserved the address for another NIC, if the guest could not start with this NIC, or if a running
        guest can take no more NICs: then it can while it is off.
        """

    def detach_nic(self, guest: GuestRef, mac_address: str) -> PowerState:
        """Returns the power state once the guest does not have the NIC, now and at its next start. Idempotent.

        The host no longer reserves an address for it. Raises NotFound without the guest; WrongState, with nothing
        changed, if a running guest does not give the NIC back within seconds, because its system is not up.

        LXD does not wait for that: such a guest has the NIC until it is off, without a connection.
        """

    def change_nic(self, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
        """Returns the power state once `nic` has the place of the NIC with `mac_address`, now and at the next start.

        Idempotent. The name and `boot` of `nic` are not used: those of the replaced NIC stay. The host's DHCP server
        reserves its address instead of the other's. Raises as `attach_nic`, and NotFound without the NIC.
        """

    def set_autostart(self, guest: GuestRef, autostart: Autostart) -> Autostart:
        """Returns what the hypervisor reports once the guest is set. Idempotent. Raises NotFound without the guest.

        With LAST_STATE a hypervisor that does not restore the last state by itself is set to the state of now: the
        guest starts with its host if it is not off.
        """

    def set_start_order(self, guest: GuestRef, order: StartOrder) -> StartOrder:
        """Returns the order that the hypervisor reports once the guest is set. Idempotent; also while it runs.

        Raises NotFound without the guest, Unsupported for a hypervisor that starts its guests in no order.
        """

    def set_boot_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        """Returns the power state once the guest boots from this disk at its next start. Idempotent.

        The disk takes the place of the disk that booted first: a NIC before that one stays before it, and a running
        guest is not disturbed. `volume` is the disk's volume, or its device if it has no volume of its own. Raises
        NotFound without the guest or the disk. `deploy` and `undeploy` make the root disk the first one again.
        """

    def set_boot_order(self, guest: GuestRef, order: BootOrder, *, check_only: bool = False) -> BootOrders:
        """Returns what the guest boots from at its next start: the kinds in `order`, then its others as before.

        Idempotent. A running guest is not disturbed. The order among devices of one kind stays. With `check_only`,
        changes nothing and returns what is. `deploy` and `undeploy` replace the order by their own.

        Raises, with nothing changed: NotFound without the guest, WrongState without a device of a named kind,
        Unsupported for a guest that does not boot from its devices.
        """

    def insert_iso(self, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool = False) -> IsoState:
        """Returns what is in the guest's drive: the image that `copy_image` has copied to the pool, instead of another.

        Idempotent. A running guest has it at once if the hypervisor can do that, else at its next start. With
        `check_only`, changes nothing and returns what is.

        Raises, with nothing changed: NotFound without the guest or the pool; ImageMissing without the image, but not
        with `check_only`; Unsupported for a host without ISO images.
        """

    def eject_iso(self, guest: GuestRef) -> IsoState:
        """Returns what is in the guest's drive, now that no image of the region is. Idempotent.

        The drive can stay, and the copy of the image does. Raises NotFound without the guest, WrongState if the
        running guest has the image until it is off.
        """

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        """Returns when the host has the image where the root disk in this storage pool needs it. Idempotent.

        Reads `content` only if the host lacks the image, and in parts: it does not fit into memory. A copy that was not
        completed is not used. Raises OutOfCapacity, NotFound naming the pool, and what `content` raises.
        """

    def remove_image(self, sha256: str, pool_id: str) -> None:
        """Returns when this storage pool (empty: LXD's image store) has no copy of the image. Idempotent.

        Removes only what `copy_image` made, of any installation; not a copy that another upload may be filling, and no
        volume on which another one depends. What was deployed with the image does not need it.
        """

    def find_image(self, *, fingerprint: str = "", alias: str = "") -> HostImage:
        """Returns the image that the host itself has, with this alias, or whose fingerprint begins so. Only reads.

        Raises NotFound, with the aliases that there are; WrongState for an image that no VM can be deployed with, for
        a copy that `copy_image` made, and if several fingerprints begin so; Unsupported if hosts of this hypervisor
        have no images.
        """

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        """Returns when the root disk, the first of `spec`, has the content of the image and its own size, and the guest
        has `seed` as its cloud-init data. Idempotent; replaces what an earlier attempt wrote.

        The result is whether the guest has the short user data of `seed`, because the hypervisor does not store all.
        The guest is off. Raises NotFound without the guest; ImageMissing without the image, which `copy_image` brings;
        WrongState while the guest runs; OutOfCapacity if the image's disk is larger than the root disk.

        The host's DHCP server reserves the addresses of the NICs in `spec`, which their MAC addresses identify, instead
        of those reserved before. Raises WrongState, with nothing written, if another guest has one of them reserved.

        An image `of_host` is used where it is, and never removed; NotFound without it. The root disk can be empty after
        OutOfCapacity if the size of its disk was not known.
        """

    def undeploy(self, spec: GuestSpec, *, erase: bool = False, overwrite: bool = False) -> None:
        """Returns when the root disk is empty and has the size in `spec`, and the guest has no cloud-init data but that
        of its static addresses, as after compose; these are reserved as by `deploy`. Idempotent.

        With `erase`, so are the other disks of `spec` that the guest has. With `overwrite`, no volume that is created
        later can have their old content, not even on storage that does not clear new volumes; raises Unsupported if
        the hypervisor cannot do that. The guest is off. Raises NotFound without the guest, WrongState while it runs.
        """

    def set_addresses(self, spec: GuestSpec) -> None:
        """Returns when the guest has the static addresses in `spec` as after compose, instead of those before.

        The host reserves them, and raises errors, as `deploy`. The disks keep their content. The guest is off.
        Idempotent. Raises NotFound without the guest, WrongState while it runs.
        """

    def console_log(self, guest: GuestRef, *, max_bytes: int) -> bytes:
        """Returns the end of what the guest has written to its serial port since its last start. Only reads.

        Raises NotFound without the guest, and Unsupported if the host keeps no log of it that can be read.
        """

    def open_console(self, guest: GuestRef) -> ConsoleStream:
        """Connects to the guest's serial port. The caller closes the stream, which ends with this driver's connection.

        Raises NotFound without the guest, WrongState while it is off, Busy while somebody else has its console open,
        and Unsupported if it has none.
        """

    def open_screen(self, guest: GuestRef) -> ConsoleStream:
        """Connects to the guest's screen, as `open_console`: VNC (RFB 3.8), and on LXD one SPICE channel.

        Others may see the same screen at once. Raises NotFound, WrongState and Unsupported as `open_console`.
        """

    def find(self, guest: GuestRef) -> Guest | None:
        """Returns the guest with the marker, whatever its name, or None. Only reads."""

    def adopt(self, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
        """Adds the marker to a foreign guest, running or not, and changes nothing else. Idempotent.

        `guest_id` identifies the guest; `name` only speeds up the search. On libvirt `marker.machine_id` must be the
        domain's UUID. Raises NotFound, and NameTaken if the guest carries another marker or another guest carries this
        one.
        """

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        """Removes this marker from the guest that carries it and changes nothing else. Idempotent.

        Succeeds if no guest carries the marker. With `exactly` only the guest with this id and name is meant; then
        raises NotFound if it does not exist or carries another marker.
        """

    def projects(self) -> tuple[Project, ...]:
        """Returns the host's projects with the resources of their guests; empty without projects. Only reads."""

    def make_project(self, description: str) -> None:
        """Creates the project of this host. Idempotent. Raises Unsupported if the hypervisor has no projects."""

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        """Makes the host trust this certificate. Idempotent. Raises NotTrusted with the reason, or Unsupported.

        Compares a token's fingerprint with the server's certificate before it sends the token. The current
        certificate authorizes the addition of another one. If the current one is restricted to projects, it cannot add
        any: the new one replaces it.
        """

    def untrust(self, fingerprint: str) -> None:
        """Removes the certificate with this SHA-256 (hex) from the host's trust store. Idempotent."""

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        """Calls `notify`, from any thread, after each change of a guest until the returned function is called.

        Sends one RESYNC after events may have been lost, such as after a reconnect.
        """

    def close(self) -> None:
        """Releases connections, in-memory files and threads. Idempotent."""


class DriverFactory(Protocol):
    """Opens the hosts of one driver type."""

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """Returns the key or certificate that the host presents before a login; None if there is nothing to pin."""

    def open(self, access: HostAccess) -> Driver:
        """Returns a driver for this host. May block as long as the host does; the executor abandons it then."""
