"""Answers of the services of machines: compose, power, allocation, ownership, adoption."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from attrs import evolve

from common.boot import BootDevice
from common.errors import NotFound
from common.guests.compose_request import ComposeRequest
from common.values import PowerState
from regiond.exports.service import Download
from regiond.machines.core.host_workload import HostWorkload
from regiond.machines.hardware.start_order import StartOrderToSet
from regiond.machines.removal_plans.host_removal_plan import HostRemovalPlan
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from regiond.machines.values.adoption import Adopted
from regiond.machines.values.boot import BootPlan, BootToSet, ChangePlan, IsoToEject, IsoToInsert
from regiond.machines.values.devices import DeviceView
from regiond.machines.values.disks import (
    DiskPlan,
    DiskToAdd,
    DiskToAttach,
    DiskToGrow,
    DiskToMove,
    DiskToRemove,
    MachineToExport,
)
from regiond.machines.values.model import Allocated, MachineToCompose
from regiond.machines.values.nics import NicPlan, NicToAdd, NicToChange, NicToRemove
from regiond.machines.values.power import PowerPlan
from regiond.machines.values.resize import Amount, ResizePlan, SizeRequest, Takes
from regiond.machines.values.search import PageOfIds
from regiond.operations.model import Operation
from regiond.placement.model import DryRun
from regiond.requests.deletion_plan import DeletionPlan
from regiond.requests.long_list import LongList
from regiond.requests.search_query import SearchQuery
from tests.unit.answers.shared import named
from tests.unit.support.machine_samples import (
    DETACHED,
    DEVICE,
    EXPORT,
    FORGOTTEN,
    GUEST,
    KEPT_DISK,
    MACHINE,
    OPERATION,
    PLACEMENT,
)


async def user_data(*_: Any) -> AsyncGenerator[bytes, None]:
    yield b"MIME-Version: 1.0\n"


async def chunks_of(*parts: bytes) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part


async def read_devices(system_ids: Sequence[str]) -> Sequence[DeviceView]:
    return [DEVICE for one in system_ids if one == DEVICE.system_id]


NIC_CHANGES = (
    "link", "unlink", "set_default_gateway", "clear_default_gateways", "clear_default_gateway", "update", "set_tag",
)  # fmt: skip

ADDED = evolve(OPERATION, result={"volume": MACHINE.disks[0].volume})
EXPORTS = evolve(OPERATION, request={"export": EXPORT.id})
NIC_ADDED = evolve(OPERATION, result={"mac_address": MACHINE.nics[0].mac_address})
NIC_PLAN = NicPlan(name="web-1", effects=("web-1 loses the NIC eth1 (52:54:00:00:00:02).",))
DISK_PLAN = DiskPlan(
    name="web-1", effects=("disk1 (5.0 GB in images) and all data on it are deleted.",), loses_data=True
)

BOOT_PLAN = BootPlan(
    name="web-1",
    order=(BootDevice.DISK,),
    once=True,
    takes_effect=Takes.AT_START,
    effects=("web-1 boots from disk first when Innkeeper next starts it, and only then.",),
)
RESIZE_PLAN = ResizePlan(
    name="web-1",
    cores=Amount(now=2, wanted=4, takes_effect=Takes.IF_POSSIBLE),
    memory_mib=Amount(now=2048, wanted=2048, takes_effect=Takes.NO_EFFECT),
    effects=("web-1 gets 4 cores instead of 2.",),
)
ISO_PLAN = ChangePlan(name="web-1", effects=("No.",))
# The operation and the plan of a change of hardware, by what asks for it.
CHANGES: Mapping[type, tuple[Operation, Any]] = {
    SizeRequest: (OPERATION, RESIZE_PLAN),
    IsoToInsert: (OPERATION, ISO_PLAN),
    IsoToEject: (OPERATION, ISO_PLAN),
    StartOrderToSet: (OPERATION, ChangePlan(name="web-1", effects=("No.",))),
    BootToSet: (OPERATION, BOOT_PLAN),
    **{disk: (ADDED, DISK_PLAN) for disk in (DiskToAdd, DiskToAttach, DiskToGrow, DiskToMove, DiskToRemove)},
    **{nic: (NIC_ADDED, NIC_PLAN) for nic in (NicToAdd, NicToChange, NicToRemove)},
    MachineToExport: (EXPORTS, DISK_PLAN),
}
ANSWERS: Mapping[str, Any] = {
    "machines.workloads": lambda host_ids: tuple(
        HostWorkload(host_id=one, host_name="hv-01", maintenance=None, machines=(MACHINE,), foreign=(GUEST,))
        for one in host_ids
    ),
    "machines.removal_plan": HostRemovalPlan(name="hv-01", deleted=(), kept=()),
    "machines.list": lambda wanted: (MACHINE,) if MACHINE.hostname in wanted.hostnames or not wanted.hostnames else (),
    "machines.system_ids": ("wdpx3n",),
    "machines.long_list": LongList.of((MACHINE,)),
    "machines.by_hostname": (LongList.of((MACHINE,)), PageOfIds(ids=(1,), total=1)),
    "machines.ordered": LongList.of((MACHINE,)),
    "machines.ordered_ids": (0,),
    "machines.read_query": SearchQuery(),
    "machines.read": named({"wdpx3n": MACHINE}),
    "machines.released": named({}),
    "machines.announce": True,
    "composer.start_compose": OPERATION,
    "clones.start": OPERATION,
    "clones.dry_run": DryRun(placements=(PLACEMENT,)),
    "composer.problems": {},
    "composer.dry_run": DryRun(placements=(PLACEMENT,)),
    "composer.hostname_problems": {},
    "machines.start_power": OPERATION,
    "machines.start_delete": OPERATION,
    "machines.power_plan": PowerPlan(name="web-1", effects=("web-1 is started.",)),
    "machines.deletion_plan": MachineRemovalPlan(name="web-1"),
    "machines.query_power": PowerState.PAUSED,
    "allocation.start": OPERATION,
    "allocation.with_devices": list,
    "allocation.architecture_problems": lambda names: [f"{one!r}?" for one in names if one not in {"amd64", "arm64"}],
    "allocation.allocated": Allocated(machine=MACHINE),
    "allocation.dry_run": MachineToCompose(
        request=ComposeRequest(), placement=PLACEMENT, disk_labels=(), nic_labels=()
    ),
    "releases.start": OPERATION,
    "bulk.start": OPERATION,
    "bulk.plan": MachineRemovalPlan(name="2 machines"),
    "releases.plan": MachineRemovalPlan(name="web-1"),
    "releases.plan_all": MachineRemovalPlan(name="2 machines"),
    "releases.start_all": ("wdpx3n",),
    "ownership.set_owner_data": MACHINE,
    "ownership.set_zone": None,
    "devices.is_registered": True,
    "ownership.mark_broken": MACHINE,
    "ownership.set_locked": MACHINE,
    "ownership.mark_fixed": MACHINE,
    "wanted_powers.accept_off": MACHINE,
    "ownership.set_workload_annotations": MACHINE,
    "ownership.start_commission": OPERATION,
    "machines.power_parameters": {"wdpx3n": {"power_address": "qemu:///system", "power_id": "quick-fox"}},
    "ownership.update": MACHINE,
    "devices.list": lambda wanted: (DEVICE,) if DEVICE.hostname in wanted.hostnames or not wanted.hostnames else (),
    "devices.long_list": LongList(keys=["dev123"], read=read_devices),
    "devices.read": named({"dev123": DEVICE}),
    **{f"devices.{name}": DEVICE for name in ("create", "update", "set_owner_data")},
    **{f"devices.{name}": DEVICE.nics[0] for name in ("add_nic", "update_nic", "link", "unlink")},
    **{f"devices.{name}": DeletionPlan(name="box") for name in ("delete", "delete_nic")},
    **{f"machine_nics.{name}": MACHINE for name in NIC_CHANGES},
    "hardware.start": lambda *args: CHANGES[type(args[2])][0],
    "hardware.plan": lambda *args: CHANGES[type(args[2])][1],
    "kept_disks.list": (KEPT_DISK,),
    "kept_disks.read": lambda disk_id, **_: KEPT_DISK if disk_id == KEPT_DISK.id else NotFound("Not Found"),
    "kept_disks.plan_delete": DISK_PLAN,
    "kept_disks.start_delete": OPERATION,
    "machine_imports.start": OPERATION,
    "machine_imports.plan": DISK_PLAN,
    "exports.list": (EXPORT,),
    "exports.read": lambda _, export_id, **__: EXPORT if export_id == EXPORT.id else NotFound("Not Found"),
    "exports.declare": EXPORT,
    "exports.append": EXPORT,
    "exports.delete": DeletionPlan(name="web-1"),
    "exports.download": lambda *_, **__: Download(export=EXPORT, start=0, length=4, chunks=chunks_of(b"data")),
    "machine_disks.adopt": MACHINE,
    "machine_disks.plan_adoption": DISK_PLAN,
    "machine_disks.set_tag": MACHINE,
    "machine_disks.start_set_boot_disk": OPERATION,
    "deployments.start": OPERATION,
    "deployments.plan": DISK_PLAN,
    "deployments.rebuild_plan": DISK_PLAN,
    "deployments.abort": MACHINE,
    "deployments.abort_plan": MachineRemovalPlan(name="web-1"),
    "deployments.report": None,
    "deployments.user_data": user_data,
    "consoles.log": "Booting from Hard Disk...\n",
    "consoles.of_failure": "Kernel panic - not syncing",
    "adoption.start_adopt": (
        Adopted(guest_name="Web_1", system_id="wdpx3n", hostname="web-1", operation=OPERATION),
        Adopted(guest_name="managed", system_id="wdpx3n", hostname="managed"),
        Adopted(guest_name="box", rejected="it is a container, and only virtual machines can be machines"),
    ),
    "adoption.start_forget": OPERATION,
    "adoption.forget_plan": MachineRemovalPlan(name="web-1"),
    "adoption.detached": (DETACHED,),
    "adoption.forgotten": (FORGOTTEN,),
}
