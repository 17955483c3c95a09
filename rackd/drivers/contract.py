"""The contract of every driver: what each method returns, raises and may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from attrs import frozen

from common.boot import BootOnce, StartOrder
from common.guests.deployment_spec import CloudInitSeed, HostImage, ImageRef
from common.guests.guest_content import GuestContent
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import DiskSize, GuestSize
from common.hosts.discovery import Discovery, VolumeRef
from common.values import (
    Autostart,
    Guest,
    GuestChange,
    GuestRef,
    HostAccess,
    OwnershipMarker,
    PeerIdentity,
    PowerAction,
    PowerState,
    Project,
)
from rackd.drivers.driver_errors import only_parts_of_disks, unsupported_by
from rackd.drivers.hardware_contract import GuestHardware
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


class Driver(GuestHardware, Protocol):
    """One host, called from its slot's thread, one call at a time.

    Any method may raise HostUnreachable (retry later), NotTrusted or PeerChanged (a person must act), or DriverFailed
    with the hypervisor's reason. Only guests and volumes with our marker are changed. `tests/contract/` runs the same
    tests against every driver.

    Drivers derive from this class. A method with code here is one that hypervisors may lack; mypy requires the others.
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

    def clone(self, spec: GuestSpec, content: GuestContent) -> Guest:
        """Returns the guest as `compose` does, with copies of the source's disks: all of their content, as one moment
        had it. Idempotent. The source and its disks do not change.

        A guest with `spec.marker` is complete. Volumes of `spec` without it are what an earlier call left, and are
        replaced: no other call may still fill them. A disk can be larger than its source, not smaller. The guest has
        what its hypervisor gives it anew: an id, MAC addresses, and (on libvirt) variables of its firmware and a TPM.

        Raises as `compose`, with nothing left; NotFound without the source or one of its disks; WrongState unless the
        source is off, or if a volume depends on one of its disks; Busy if the source was started meanwhile; Unsupported
        for a disk that this hypervisor cannot copy so that its content is the same.
        """

    def decompose(
        self,
        guest: GuestRef,
        volumes: tuple[tuple[str, str], ...] = (),
        mac_addresses: tuple[str, ...] = (),
        guest_id: str | None = None,
    ) -> None:
        """Returns when the guest and the volumes created for it are deleted. Idempotent.

        `volumes` has the (pool_id, volume) pairs given at compose. Disks attached later, shared volumes and ISO images
        are not deleted, nor are the disks of an adopted guest, if the hypervisor can retain a disk without its guest.

        `mac_addresses` are those of the NICs created at compose: their DHCP reservations are removed even if the guest
        was deleted by someone else.

        With `guest_id`, a guest with another id stays as it is, and neither it nor its disks are deleted. A guest that
        compose creates has an id that no guest had before, except where the id is the machine's, as with libvirt; one
        that is restored from a backup, with its marker, has the id of its original.

        A copy that carries the marker stays, without it. Raises WrongState, with nothing changed, if several guests
        carry the marker and it is not known which is the machine's own, or if `Guest.removal` has a protection.
        """

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef], *, adopted: bool = False) -> None:
        """Returns when those of `volumes` that are named after `marker` are deleted. Idempotent.

        With `adopted` all of them are: a person has adopted them, so their names show nothing.

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

    def set_autostart(self, guest: GuestRef, autostart: Autostart) -> Autostart:
        """Returns what the hypervisor reports once the guest is set. Idempotent. Raises NotFound without the guest.

        With LAST_STATE a hypervisor that does not restore the last state by itself is set to the state of now: the
        guest starts with its host if it is not off.
        """

    def set_start_order(self, guest: GuestRef, order: StartOrder) -> StartOrder:
        """Returns the order that the hypervisor reports once the guest is set. Idempotent; also while it runs.

        Raises NotFound without the guest, Unsupported for a hypervisor that starts its guests in no order.
        """

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        """Returns when the host has the image where the root disk in this storage pool needs it. Idempotent.

        Reads `content` only if the host lacks the image, and in parts: it does not fit into memory. A copy that was not
        completed is not used. Raises OutOfCapacity, NotFound naming the pool, and what `content` raises.
        """

    def fill_disk(self, spec: GuestSpec, volume: str, image: ImageRef, content: ImageContent) -> None:
        """Returns when the disk, of a guest that was composed and never started, has the content of the image.

        Idempotent. The image is one that the region has written: qcow2, not compressed, in clusters of 64 KiB. Raises
        NotFound without the guest or the disk, WrongState unless the guest is off, OutOfCapacity if the host has no
        space, Unsupported if disks of this hypervisor are written in parts, by `write_disk`, and what `content` raises.
        """
        raise only_parts_of_disks()

    def remove_image(self, sha256: str, pool_id: str) -> None:
        """Returns when this storage pool (empty: LXD's image store) has no copy of the image. Idempotent.

        Removes only what `copy_image` made, of any installation; not a copy that another upload may be filling, and no
        volume on which another one depends. What was deployed with the image does not need it. LXD and Incus raise
        WrongState if an ISO image stays because a guest has it in its drive.
        """

    def find_image(self, *, fingerprint: str = "", alias: str = "") -> HostImage:
        """Returns the image that the host itself has, with this alias, or whose fingerprint begins so. Only reads.

        Raises NotFound, with the aliases that there are; WrongState for an image that no VM can be deployed with, for
        a copy that `copy_image` made, and if several fingerprints begin so; Unsupported if hosts of this hypervisor
        have no images.
        """
        raise unsupported_by(self.kind, "images of their own", remedy=" Upload the image to the region.")

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        """Returns when the root disk, the first of `spec`, has the content of the image and its own size, and the guest
        has `seed` as its cloud-init data. Idempotent; replaces what an earlier attempt wrote.

        The result is whether the guest has the short user data of `seed`, because the hypervisor does not store all.
        The guest is off. Raises NotFound without the guest; ImageMissing without the image, which `copy_image` brings;
        WrongState, with nothing changed, while the guest runs or something else uses its root disk; OutOfCapacity if
        the image's disk is larger than the root disk.

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
        the hypervisor cannot do that. The guest is off. Raises NotFound without the guest; WrongState, with
        nothing changed, while it runs or something else uses one of these disks.
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
        """Connects to the guest's serial port. The caller closes the stream, which ends with this driver.

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
        domain's UUID. Raises NotFound, Unsupported for a guest that its host deletes at power-off, and NameTaken if the
        guest carries another marker or another guest carries this one.
        """

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        """Removes this marker from the guest that carries it and changes nothing else. Idempotent.

        Succeeds if no guest carries the marker. With `exactly` only the guest with this id and name is meant; then
        raises NotFound if it does not exist or carries another marker.
        """

    def set_generation(self, guest: GuestRef, generation: int) -> None:
        """Writes the generation beside the marker of the guest, running or not, and changes nothing else. Idempotent.

        A guest that has this generation or a higher one stays as it is. `disown` removes it with the marker, and no
        copy or clone has that of its source. Raises NotFound without the guest.
        """

    def projects(self) -> tuple[Project, ...]:
        """Returns the host's projects with the resources of their guests; empty without projects. Only reads."""
        return ()

    def make_project(self, description: str) -> None:
        """Creates the project of this host. Idempotent. Raises Unsupported if the hypervisor has no projects."""
        raise unsupported_by(self.kind, "projects")

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        """Makes the host trust this certificate. Idempotent. Raises NotTrusted with the reason, or Unsupported.

        Compares a token's fingerprint with the server's certificate before it sends the token. The current
        certificate authorizes the addition of another one. If the current one is restricted to projects, it cannot add
        any: the new one replaces it.
        """
        raise unsupported_by(self.kind, "trust store for certificates")

    def untrust(self, fingerprint: str) -> None:
        """Removes the certificate with this SHA-256 (hex) from the host's trust store. Idempotent."""
        raise unsupported_by(self.kind, "trust store for certificates")

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        """Calls `notify`, from any thread, after each change of a guest until the returned function is called.

        Sends one RESYNC after events may have been lost, such as after a reconnect.
        """

    def close(self) -> None:
        """Releases connections, in-memory files and threads. Idempotent."""


@frozen(kw_only=True)
class DriverSetup:
    """The setup that a rack gives its drivers: an entry point is called with it, and returns a DriverFactory.

    `report_boot` and `user_data` ask the region, with the id of a deployment and its secret, and block meanwhile.
    """

    simulated_hosts: Path | None
    report_boot: Callable[[int, str], None]
    user_data: Callable[[int, str], bytes]


class DriverFactory(Protocol):
    """Opens the hosts of one driver type."""

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """Returns the key or certificate that the host presents before a login; None if there is nothing to pin."""

    def open(self, access: HostAccess) -> Driver:
        """Returns a driver for this host. May block as long as the host does; the executor abandons it then."""
