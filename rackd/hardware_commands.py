"""Handles commands that change the hardware of a guest: size, disks, NICs, boot.

Each is one fenced call, as `rackd.commands` explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.boot import BootOrders, IsoState, StartOrder
from common.disk_content import CopiedDisk, ReadPart
from common.rpc.command import Command, Done
from common.rpc.handlers import Handler
from common.rpc.hardware_commands import (
    HOST_ATTACH_DISK,
    HOST_ATTACH_NIC,
    HOST_BEGIN_READ,
    HOST_CHANGE_NIC,
    HOST_CLONE,
    HOST_COPY_DISK,
    HOST_DETACH_DISK,
    HOST_DETACH_NIC,
    HOST_EJECT_ISO,
    HOST_END_READ,
    HOST_GROW_DISK,
    HOST_INSERT_ISO,
    HOST_MAKE_BOOTABLE,
    HOST_READ_DISK,
    HOST_RESIZE,
    HOST_RESIZE_PLACED,
    HOST_SET_BOOT_ORDER,
    HOST_SET_START_ORDER,
    HOST_USE_COPY,
    HOST_WRITE_DISK,
    AttachDiskCall,
    AttachNicCall,
    BeginReadCall,
    ChangeNicCall,
    CloneCall,
    CopyDiskCall,
    DetachDiskCall,
    DetachNicCall,
    EjectIsoCall,
    EndReadCall,
    GrowDiskCall,
    InsertIsoCall,
    MakeBootableCall,
    PlacedResizeCall,
    ReadDiskCall,
    ResizeCall,
    SetBootOrderCall,
    SetStartOrderCall,
    UseCopyCall,
    WriteDiskCall,
)
from common.rpc.host_commands import MAX_CALL_S, PowerReply
from common.values import GrownDisk, Guest, Resized
from rackd.event_watch import EventLink
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.host_queue import CallClass


@frozen
class HardwareCommands:
    """The rack's handlers of these commands."""

    _executor: Executor
    _fenced: FencedCalls

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {
            HOST_SET_BOOT_ORDER: self.set_boot_order,
            HOST_SET_START_ORDER: self.set_start_order,
            HOST_INSERT_ISO: self.insert_iso,
            HOST_EJECT_ISO: self.eject_iso,
            HOST_RESIZE: self.resize,
            HOST_RESIZE_PLACED: self.resize_placed,
            HOST_ATTACH_DISK: self.attach_disk,
            HOST_DETACH_DISK: self.detach_disk,
            HOST_GROW_DISK: self.grow_disk,
            HOST_COPY_DISK: self.copy_disk,
            HOST_USE_COPY: self.use_copy,
            HOST_CLONE: self.clone,
            HOST_BEGIN_READ: self.begin_read,
            HOST_READ_DISK: self.read_disk,
            HOST_END_READ: self.end_read,
            HOST_WRITE_DISK: self.write_disk,
            HOST_MAKE_BOOTABLE: self.make_bootable,
            HOST_ATTACH_NIC: self.attach_nic,
            HOST_CHANGE_NIC: self.change_nic,
            HOST_DETACH_NIC: self.detach_nic,
        }

    async def set_boot_order(self, _: EventLink, call: SetBootOrderCall) -> BootOrders:
        return await self._fenced.run(
            call,
            lambda driver: driver.set_boot_order(call.guest, call.order, check_only=call.check_only),
            what="set boot order",
        )

    async def set_start_order(self, _: EventLink, call: SetStartOrderCall) -> StartOrder:
        return await self._fenced.run(
            call, lambda driver: driver.set_start_order(call.guest, call.order), what="set start order"
        )

    async def insert_iso(self, _: EventLink, call: InsertIsoCall) -> IsoState:
        return await self._fenced.run(
            call,
            lambda driver: driver.insert_iso(call.guest, call.sha256, call.pool_id, check_only=call.check_only),
            what="insert ISO",
        )

    async def eject_iso(self, _: EventLink, call: EjectIsoCall) -> IsoState:
        return await self._fenced.run(call, lambda driver: driver.eject_iso(call.guest), what="eject ISO")

    async def resize(self, _: EventLink, call: ResizeCall) -> Resized:
        return await self._fenced.run(call, lambda driver: driver.resize(call.guest, call.size), what="resize")

    async def resize_placed(self, _: EventLink, call: PlacedResizeCall) -> Resized:
        return await self._fenced.run(
            call, lambda driver: driver.resize_placed(call.guest, call.size, call.placement), what="resize placed"
        )

    async def attach_disk(self, _: EventLink, call: AttachDiskCall) -> PowerReply:
        power = await self._fenced.run(
            call,
            lambda driver: driver.attach_disk(call.guest, call.disk, call.index, create=call.create),
            what="attach disk",
        )
        return PowerReply(power=power)

    async def detach_disk(self, _: EventLink, call: DetachDiskCall) -> PowerReply:
        power = await self._fenced.run(
            call,
            lambda driver: driver.detach_disk(call.guest, call.pool_id, call.volume),
            what="detach disk",
            call_class=CallClass.LONG_RUNNING,  # it waits until the guest gives the disk back
        )
        return PowerReply(power=power)

    async def grow_disk(self, _: EventLink, call: GrowDiskCall) -> GrownDisk:
        return await self._fenced.run(call, lambda driver: driver.grow_disk(call.guest, call.size), what="grow disk")

    async def copy_disk(self, _: EventLink, call: CopyDiskCall) -> CopiedDisk:
        return await self._fenced.run(
            call,
            lambda driver: driver.copy_disk(call.guest, call.pool_id, call.volume, call.copy),
            what="copy disk",
            call_class=CallClass.LONG_RUNNING,
        )

    async def use_copy(self, _: EventLink, call: UseCopyCall) -> PowerReply:
        power = await self._fenced.run(
            call,
            lambda driver: driver.use_copy(call.guest, call.pool_id, call.volume, call.copy, call.state),
            what="use copy of disk",
            call_class=CallClass.LONG_RUNNING,  # LXD copies a root disk only now
        )
        return PowerReply(power=power)

    async def clone(self, _: EventLink, call: CloneCall) -> Guest:
        return await self._fenced.run(
            call, lambda driver: driver.clone(call.spec, call.content), what="clone", call_class=CallClass.LONG_RUNNING
        )

    async def begin_read(self, _: EventLink, call: BeginReadCall) -> Done:
        return await self._fenced.change(
            call,
            lambda driver: driver.begin_read(call.guest, call.pool_id, call.volume),
            what="begin to read disk",
            call_class=CallClass.LONG_RUNNING,
        )

    async def end_read(self, _: EventLink, call: EndReadCall) -> Done:
        return await self._fenced.change(
            call,
            lambda driver: driver.end_read(call.guest, call.pool_id, call.volume),
            what="end to read disk",
            call_class=CallClass.LONG_RUNNING,
        )

    async def read_disk(self, _: EventLink, call: ReadDiskCall) -> ReadPart:
        """A long export delays no change of the host: its calls have slots of their own."""
        return await self._executor.run(
            call.access,
            lambda driver: driver.read_disk(call.guest, call.pool_id, call.volume, call.start),
            what="read disk",
            deadline_s=MAX_CALL_S,
            call_class=CallClass.LONG_RUNNING,
        )

    async def write_disk(self, _: EventLink, call: WriteDiskCall) -> Done:
        return await self._fenced.change(
            call,
            lambda driver: driver.write_disk(call.guest, call.pool_id, call.volume, call.part),
            what="write disk",
            call_class=CallClass.LONG_RUNNING,
        )

    async def make_bootable(self, _: EventLink, call: MakeBootableCall) -> Done:
        return await self._fenced.change(call, lambda driver: driver.make_bootable(call.spec), what="make bootable")

    async def attach_nic(self, _: EventLink, call: AttachNicCall) -> PowerReply:
        power = await self._fenced.run(call, lambda driver: driver.attach_nic(call.guest, call.nic), what="attach NIC")
        return PowerReply(power=power)

    async def change_nic(self, _: EventLink, call: ChangeNicCall) -> PowerReply:
        power = await self._fenced.run(
            call, lambda driver: driver.change_nic(call.guest, call.mac_address, call.nic), what="change NIC"
        )
        return PowerReply(power=power)

    async def detach_nic(self, _: EventLink, call: DetachNicCall) -> PowerReply:
        power = await self._fenced.run(
            call,
            lambda driver: driver.detach_nic(call.guest, call.mac_address),
            what="detach NIC",
            call_class=CallClass.LONG_RUNNING,  # it waits until the guest gives the NIC back
        )
        return PowerReply(power=power)
