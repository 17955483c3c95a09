"""The part of the contract that changes the hardware of a guest."""

from __future__ import annotations

from typing import ClassVar, Protocol

from common.boot import BootOrder, BootOrders, IsoState
from common.disks.disk_content import CopiedDisk, DiskPart, ReadPart
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize, Resized
from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import only_whole_disks


class GuestHardware(Protocol):
    """Methods of every driver; see `rackd.drivers.contract.Driver` for what any of them may raise."""

    kind: ClassVar[str] = "this type"  # the hypervisor's name in messages

    def resize(self, guest: GuestRef, size: GuestSize) -> Resized:
        """Returns the size that the guest has now. Idempotent. Raises NotFound without the guest.

        A guest that is off gets all of `size`. Of a running one, what the hypervisor can safely change now is changed,
        and memory never taken away. The rest is no error: `power` with the same size applies it at the next start.

        Raises, with nothing changed: OutOfCapacity or Unsupported for a size that the host refuses for good,
        Unsupported for another number of cores if some are pinned, WrongState for a guest that is not off and has
        pinned cores, huge pages or chosen NUMA nodes.
        """

    def resize_placed(self, guest: GuestRef, size: GuestSize, placement: GuestPlacement) -> Resized:
        """Returns the size of a guest that is off once it has all of `size`, and `placement` and no other. Idempotent.

        Raises, with nothing changed: NotFound without the guest, a core or a NUMA node; InvalidRequest unless
        `placement` pins one core for each virtual core, or none; OutOfCapacity or Unsupported for a size or huge pages
        that the host refuses for good; WrongState for a guest that is not off, unless it is so already.
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

        The volume stays, with its content. Raises NotFound without the guest, and if its disk of that name is another
        file than the volume; WrongState, with nothing changed, if a
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

    def copy_disk(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        """Returns the state of the disk that was copied, for `use_copy`, once the volume `copy` is complete.

        The disk of a running guest is copied meanwhile, if the hypervisor can do that: the copy is not complete then,
        and the same call, seconds later, returns how far it is. It ends with the guest, and `remove_volumes` ends it.

        The copy is in another storage pool and has a name that no other volume ever had: a volume of that name is what
        an earlier call left, and is replaced. The guest and its disk do not change. Copies nothing if the guest uses
        the copy already, and if only `use_copy` can move the disk, as LXD's root disk.

        Raises, with no copy left: NotFound without the guest, the disk or the storage pool; OutOfCapacity; WrongState
        for a guest that must be off for that, and if another guest uses one of the volumes or another volume depends on
        the disk;
        Unsupported for a disk that this hypervisor cannot copy so that its content is the same.
        """

    def use_copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        """Returns the power state once the guest has the copy in the place of the disk, with its serial and place in
        the boot order. Idempotent.

        The disk's volume stays, with its content; of LXD's root disk only the moved one. `state` is what `copy_disk`
        returned: raises Busy, which asks for another copy, if the guest was started or stopped since. A running guest
        is not disturbed. Raises NotFound without the guest, the disk or the copy; WrongState for a guest that must be
        off for that.
        """

    def begin_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Returns when `read_disk` can read the disk of a guest that is off, as it is now.

        LXD copies the disk for that into a backup, instead of one that an earlier call left. Raises as `read_disk`;
        OutOfCapacity, with nothing left, if the host has no space for that; Busy if the guest was started meanwhile.
        """

    def read_disk(self, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        """Returns the next part of a disk of a guest that is off, from `start` on. Only reads.

        The part has data unless only zeros follow, or so many that they took seconds to read. At the end of the disk
        it is empty. Raises NotFound without the guest or the disk; WrongState unless the guest is off, and if its next
        start is no boot; Unsupported for a disk that cannot be read so that its content is the same; Busy if
        `begin_read` has to be called again.
        """

    def end_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Returns when nothing is left on the host of what `begin_read` made. Idempotent, also without the guest."""

    def write_disk(self, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
        """Returns when the disk, of a guest that was composed and never started, has the part. Idempotent.

        The zeros of a part, at most MAX_ZERO_BYTES, are written where a new volume can have other content. Raises
        NotFound without the guest or the disk; WrongState unless the guest is off, and beyond the end of the disk;
        OutOfCapacity if the storage pool is full; Unsupported if this hypervisor takes only whole disks: `fill_disk`.
        """
        raise only_whole_disks()

    def make_bootable(self, spec: GuestSpec) -> None:
        """Returns when the guest boots from its root disk, the first of `spec`, with the firmware that its content
        needs. Idempotent. Raises NotFound without the guest, WrongState unless it is off, and Unsupported without that
        firmware.
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
        with `check_only`; Unsupported for a host without ISO images; WrongState if a running guest gets it neither now
        nor at its next start: then it can while it is off.
        """

    def eject_iso(self, guest: GuestRef) -> IsoState:
        """Returns what is in the guest's drive, now that no image of the region is. Idempotent.

        The drive can stay, and the copy of the image does. Raises NotFound without the guest, WrongState if the
        running guest has the image until it is off.
        """
