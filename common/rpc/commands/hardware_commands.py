"""Commands of a region to a rack that change the hardware of a guest: its size, disks, NICs, boot.

Released commands only grow.
"""

from __future__ import annotations

from attrs import frozen

from common.boot import BootOrder, BootOrders, IsoState, StartOrder
from common.disks.disk_content import CopiedDisk, DiskPart, ReadPart
from common.guests.deployment_spec import ImageRef
from common.guests.guest_content import GuestContent
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize, Resized
from common.rpc.commands.command import Command, Done
from common.rpc.commands.host_commands import MAX_CALL_S, Fence, GuestCall, HostCall, PowerReply
from common.rpc.commands.host_method import CallClass, HostMethod
from common.values import Guest

_LONG = CallClass.LONG_RUNNING


@frozen(kw_only=True)
class ResizeCall(GuestCall):
    """Gives a guest that is off this size, and one that runs as much of it as the hypervisor can change now."""

    size: GuestSize
    fence: Fence


HOST_RESIZE = HostMethod("host.resize", ResizeCall, Resized)


@frozen(kw_only=True)
class PlacedResizeCall(GuestCall):
    """Gives a guest that is off this size, and binds it to these cores, huge pages and NUMA nodes and no others."""

    size: GuestSize
    placement: GuestPlacement
    fence: Fence


HOST_RESIZE_PLACED = HostMethod("host.resize_placed", PlacedResizeCall, Resized)


@frozen(kw_only=True)
class AttachDiskCall(GuestCall):
    """Gives the guest the disk `index` of its machine. With `create` the volume is made if it does not exist."""

    disk: DiskSpec
    index: int
    create: bool
    fence: Fence


HOST_ATTACH_DISK = HostMethod("host.attach_disk", AttachDiskCall, PowerReply)


@frozen(kw_only=True)
class DetachDiskCall(GuestCall):
    """Takes the disk from the guest. The volume stays, with its content."""

    pool_id: str
    volume: str
    fence: Fence


# It waits until the guest gives the disk back.
HOST_DETACH_DISK = HostMethod("host.detach_disk", DetachDiskCall, PowerReply, call_class=_LONG)


@frozen(kw_only=True)
class GrowDiskCall(GuestCall):
    """Makes a disk larger, at once if the hypervisor can."""

    size: DiskSize
    fence: Fence


HOST_GROW_DISK = HostMethod("host.grow_disk", GrowDiskCall, GrownDisk)


@frozen(kw_only=True)
class CopyDiskCall(GuestCall):
    """Copies the disk of a guest to the new volume `copy`, in another storage pool of the host."""

    pool_id: str
    volume: str
    copy: DiskSpec
    fence: Fence


HOST_COPY_DISK = HostMethod("host.copy_disk", CopyDiskCall, CopiedDisk, call_class=_LONG, deadline_s=MAX_CALL_S)


@frozen(kw_only=True)
class UseCopyCall(GuestCall):
    """Gives a guest the complete `copy` in the place of the disk, unless the disk is in another `state`."""

    pool_id: str
    volume: str
    copy: DiskSpec
    state: str
    fence: Fence


# LXD copies a root disk only now.
HOST_USE_COPY = HostMethod(
    "host.use_copy", UseCopyCall, PowerReply, what="use copy of disk", call_class=_LONG, deadline_s=MAX_CALL_S
)


@frozen(kw_only=True)
class CloneCall(HostCall):
    """Composes the guest with copies of the disks of another guest of the host, which is off."""

    spec: GuestSpec
    content: GuestContent
    fence: Fence


HOST_CLONE = HostMethod("host.clone", CloneCall, Guest, call_class=_LONG, deadline_s=MAX_CALL_S)


@frozen(kw_only=True)
class AttachNicCall(GuestCall):
    """Gives the guest another NIC. Its host reserves the static address of the NIC, as for one of compose."""

    nic: NicSpec
    fence: Fence


HOST_ATTACH_NIC = HostMethod("host.attach_nic", AttachNicCall, PowerReply, what="attach NIC")


@frozen(kw_only=True)
class ChangeNicCall(GuestCall):
    """Puts `nic` in the place of the NIC with this MAC address."""

    mac_address: str
    nic: NicSpec
    fence: Fence


HOST_CHANGE_NIC = HostMethod("host.change_nic", ChangeNicCall, PowerReply, what="change NIC")


@frozen(kw_only=True)
class DetachNicCall(GuestCall):
    """Takes the NIC with this MAC address from the guest, and ends the reservation of its address."""

    mac_address: str
    fence: Fence


# It waits until the guest gives the NIC back.
HOST_DETACH_NIC = HostMethod("host.detach_nic", DetachNicCall, PowerReply, what="detach NIC", call_class=_LONG)


@frozen(kw_only=True)
class SetBootOrderCall(GuestCall):
    """Decides which kinds of devices the guest tries first at its next starts. With `check_only` nothing changes."""

    order: BootOrder
    fence: Fence
    check_only: bool = False


HOST_SET_BOOT_ORDER = HostMethod("host.set_boot_order", SetBootOrderCall, BootOrders)


@frozen(kw_only=True)
class InsertIsoCall(GuestCall):
    """Puts the image that was copied to the storage pool into the guest's drive. With `check_only` nothing changes."""

    sha256: str
    pool_id: str
    fence: Fence
    check_only: bool = False


HOST_INSERT_ISO = HostMethod("host.insert_iso", InsertIsoCall, IsoState, what="insert ISO")


@frozen(kw_only=True)
class EjectIsoCall(GuestCall):
    """Takes the region's image out of the guest's drive."""

    fence: Fence


HOST_EJECT_ISO = HostMethod("host.eject_iso", EjectIsoCall, IsoState, what="eject ISO")


@frozen(kw_only=True)
class SetStartOrderCall(GuestCall):
    """Decides when the guest starts with its host, among the others that do."""

    order: StartOrder
    fence: Fence


HOST_SET_START_ORDER = HostMethod("host.set_start_order", SetStartOrderCall, StartOrder)


@frozen(kw_only=True)
class ReadDiskCall(GuestCall):
    """Reads the next part of a disk of a guest that is off, from `start` on. Nothing changes."""

    pool_id: str
    volume: str
    start: int


# A long export delays no change of the host: its calls have slots of their own.
HOST_READ_DISK = HostMethod("host.read_disk", ReadDiskCall, ReadPart, call_class=_LONG)


@frozen(kw_only=True)
class BeginReadCall(GuestCall):
    """Makes a disk of a guest that is off readable by `ReadDiskCall`, and what was made for an earlier reading anew."""

    pool_id: str
    volume: str
    fence: Fence


# LXD copies the disk.
HOST_BEGIN_READ = HostMethod(
    "host.begin_read", BeginReadCall, Done, what="begin to read disk", call_class=_LONG, deadline_s=MAX_CALL_S
)


@frozen(kw_only=True)
class EndReadCall(GuestCall):
    """Removes from the host what was made to read a disk."""

    pool_id: str
    volume: str
    fence: Fence


HOST_END_READ = HostMethod(
    "host.end_read", EndReadCall, Done, what="end to read disk", call_class=_LONG, deadline_s=120.0
)


@frozen(kw_only=True)
class FillDiskCall(HostCall):
    """Gives a new disk of a guest that is off the content of a qcow2 image, which the rack reads from the region."""

    spec: GuestSpec
    volume: str
    image: ImageRef
    fence: Fence


# It is a whole disk, for hosts that take no less.
HOST_FILL_DISK = Command("host.fill_disk", FillDiskCall, Done, deadline_s=MAX_CALL_S)


@frozen(kw_only=True)
class WriteDiskCall(GuestCall):
    """Writes a part of a new disk of a guest that is off."""

    pool_id: str
    volume: str
    part: DiskPart
    fence: Fence


# A host may have to write the zeros of a part.
HOST_WRITE_DISK = HostMethod("host.write_disk", WriteDiskCall, Done, call_class=_LONG, deadline_s=120.0)


@frozen(kw_only=True)
class MakeBootableCall(HostCall):
    """Makes a guest that is off boot from its root disk, with the firmware that the disk's content needs."""

    spec: GuestSpec
    fence: Fence


HOST_MAKE_BOOTABLE = HostMethod("host.make_bootable", MakeBootableCall, Done, deadline_s=120.0)
