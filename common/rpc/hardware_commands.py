"""Commands of a region to a rack that change the hardware of a guest: its size, disks, NICs, boot.

Released commands only grow.
"""

from __future__ import annotations

from attrs import frozen

from common.boot import BootOrder, BootOrders, IsoState, StartOrder
from common.deployment_spec import ImageRef
from common.disk_content import CopiedDisk, DiskPart, ReadPart
from common.guest_content import GuestContent
from common.guest_placement import GuestPlacement
from common.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.rpc.command import Command, Done
from common.rpc.host_commands import Fence, GuestCall, HostCall, PowerReply
from common.values import DiskSize, GrownDisk, Guest, GuestSize, Resized


@frozen(kw_only=True)
class ResizeCall(GuestCall):
    """Gives a guest that is off this size, and one that runs as much of it as the hypervisor can change now."""

    size: GuestSize
    fence: Fence


@frozen(kw_only=True)
class PlacedResizeCall(GuestCall):
    """Gives a guest that is off this size, and binds it to these cores, huge pages and NUMA nodes and no others."""

    size: GuestSize
    placement: GuestPlacement
    fence: Fence


@frozen(kw_only=True)
class AttachDiskCall(GuestCall):
    """Gives the guest the disk `index` of its machine. With `create` the volume is made if it does not exist."""

    disk: DiskSpec
    index: int
    create: bool
    fence: Fence


@frozen(kw_only=True)
class DetachDiskCall(GuestCall):
    """Takes the disk from the guest. The volume stays, with its content."""

    pool_id: str
    volume: str
    fence: Fence


@frozen(kw_only=True)
class GrowDiskCall(GuestCall):
    """Makes a disk larger, at once if the hypervisor can."""

    size: DiskSize
    fence: Fence


@frozen(kw_only=True)
class CopyDiskCall(GuestCall):
    """Copies the disk of a guest to the new volume `copy`, in another storage pool of the host."""

    pool_id: str
    volume: str
    copy: DiskSpec
    fence: Fence


@frozen(kw_only=True)
class UseCopyCall(GuestCall):
    """Gives a guest the complete `copy` in the place of the disk, unless the disk is in another `state`."""

    pool_id: str
    volume: str
    copy: DiskSpec
    state: str
    fence: Fence


@frozen(kw_only=True)
class CloneCall(HostCall):
    """Composes the guest with copies of the disks of another guest of the host, which is off."""

    spec: GuestSpec
    content: GuestContent
    fence: Fence


@frozen(kw_only=True)
class AttachNicCall(GuestCall):
    """Gives the guest another NIC. Its host reserves the static address of the NIC, as for one of compose."""

    nic: NicSpec
    fence: Fence


@frozen(kw_only=True)
class ChangeNicCall(GuestCall):
    """Puts `nic` in the place of the NIC with this MAC address."""

    mac_address: str
    nic: NicSpec
    fence: Fence


@frozen(kw_only=True)
class DetachNicCall(GuestCall):
    """Takes the NIC with this MAC address from the guest, and ends the reservation of its address."""

    mac_address: str
    fence: Fence


@frozen(kw_only=True)
class SetBootOrderCall(GuestCall):
    """Decides which kinds of devices the guest tries first at its next starts. With `check_only` nothing changes."""

    order: BootOrder
    fence: Fence
    check_only: bool = False


@frozen(kw_only=True)
class InsertIsoCall(GuestCall):
    """Puts the image that was copied to the storage pool into the guest's drive. With `check_only` nothing changes."""

    sha256: str
    pool_id: str
    fence: Fence
    check_only: bool = False


@frozen(kw_only=True)
class EjectIsoCall(GuestCall):
    """Takes the region's image out of the guest's drive."""

    fence: Fence


@frozen(kw_only=True)
class SetStartOrderCall(GuestCall):
    """Decides when the guest starts with its host, among the others that do."""

    order: StartOrder
    fence: Fence


@frozen(kw_only=True)
class ReadDiskCall(GuestCall):
    """Reads the next part of a disk of a guest that is off, from `start` on. Nothing changes."""

    pool_id: str
    volume: str
    start: int


@frozen(kw_only=True)
class BeginReadCall(GuestCall):
    """Makes a disk of a guest that is off readable by `ReadDiskCall`, and what was made for an earlier reading anew."""

    pool_id: str
    volume: str
    fence: Fence


@frozen(kw_only=True)
class EndReadCall(GuestCall):
    """Removes from the host what was made to read a disk."""

    pool_id: str
    volume: str
    fence: Fence


@frozen(kw_only=True)
class FillDiskCall(HostCall):
    """Gives a new disk of a guest that is off the content of a qcow2 image, which the rack reads from the region."""

    spec: GuestSpec
    volume: str
    image: ImageRef
    fence: Fence


@frozen(kw_only=True)
class WriteDiskCall(GuestCall):
    """Writes a part of a new disk of a guest that is off."""

    pool_id: str
    volume: str
    part: DiskPart
    fence: Fence


@frozen(kw_only=True)
class MakeBootableCall(HostCall):
    """Makes a guest that is off boot from its root disk, with the firmware that the disk's content needs."""

    spec: GuestSpec
    fence: Fence


HOST_RESIZE = Command("host.resize", ResizeCall, Resized)
HOST_RESIZE_PLACED = Command("host.resize_placed", PlacedResizeCall, Resized)
HOST_ATTACH_DISK = Command("host.attach_disk", AttachDiskCall, PowerReply)
HOST_DETACH_DISK = Command("host.detach_disk", DetachDiskCall, PowerReply)
HOST_GROW_DISK = Command("host.grow_disk", GrowDiskCall, GrownDisk)
HOST_COPY_DISK = Command("host.copy_disk", CopyDiskCall, CopiedDisk)
HOST_USE_COPY = Command("host.use_copy", UseCopyCall, PowerReply)
HOST_CLONE = Command("host.clone", CloneCall, Guest)
HOST_ATTACH_NIC = Command("host.attach_nic", AttachNicCall, PowerReply)
HOST_CHANGE_NIC = Command("host.change_nic", ChangeNicCall, PowerReply)
HOST_DETACH_NIC = Command("host.detach_nic", DetachNicCall, PowerReply)
HOST_SET_START_ORDER = Command("host.set_start_order", SetStartOrderCall, StartOrder)
HOST_INSERT_ISO = Command("host.insert_iso", InsertIsoCall, IsoState)
HOST_EJECT_ISO = Command("host.eject_iso", EjectIsoCall, IsoState)
HOST_SET_BOOT_ORDER = Command("host.set_boot_order", SetBootOrderCall, BootOrders)
HOST_READ_DISK = Command("host.read_disk", ReadDiskCall, ReadPart)
HOST_WRITE_DISK = Command("host.write_disk", WriteDiskCall, Done)
HOST_BEGIN_READ = Command("host.begin_read", BeginReadCall, Done)
HOST_END_READ = Command("host.end_read", EndReadCall, Done)
HOST_FILL_DISK = Command("host.fill_disk", FillDiskCall, Done)
HOST_MAKE_BOOTABLE = Command("host.make_bootable", MakeBootableCall, Done)
