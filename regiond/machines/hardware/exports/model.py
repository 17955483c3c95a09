"""Rules for exports: which machines, what their file says, what a plan tells. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.errors import WrongState
from common.units import gb
from common.values import DriverType, PowerState
from common.words.phrases import number_of
from regiond.exports.model import ExportedDisk, ExportedNic, MachineDescription
from regiond.machines.hardware.disks.model import check_volumes
from regiond.machines.values.disks import DiskPlan
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView

MAX_DISKS = 16


def check_exportable(machine: MachineView) -> None:
    """Raises WrongState, in words, for a machine that cannot be exported now."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    if machine.power_state != PowerState.OFF:
        raise WrongState(
            f"{machine.hostname} is exported only while it is off, so that its disks agree with each other; it is "
            f"{machine.power_state}. Shut it down first: innkeeper machine power-off {machine.system_id}"
        )
    if not 0 < len(machine.disks) <= MAX_DISKS:
        raise WrongState(f"{machine.hostname} has {len(machine.disks)} disks; a file has 1 to {MAX_DISKS}.")
    if missing := [disk.title for disk in machine.disks if disk.missing]:
        raise WrongState(f"{machine.hostname} has disks whose volumes do not exist: {', '.join(missing)}.")
    check_volumes(machine, machine.disks, "exported")


def export_plan(machine: MachineView) -> DiskPlan:
    total = sum(disk.size_bytes for disk in machine.disks)
    count = number_of(len(machine.disks), "disk")
    copied = (
        f"{machine.product or 'LXD'} first makes a backup of each disk, one after the other, which takes the size of "
        "the disk in its folder of backups, and which is deleted when the disk was read.",
    )
    return DiskPlan(
        name=machine.hostname,
        effects=(
            f"{count} of {machine.hostname} on {machine.host_name} ({gb(total)} together) and a description of its "
            "hardware are written to one file on the region. What was never written on a disk takes no space.",
            f"{machine.hostname} is not changed. It stays off until that is done, since it cannot be started "
            "meanwhile.",
            f"The file has all data of {machine.hostname}. Only you and administrators can see and download it.",
            *(copied if machine.driver == DriverType.LXD.value else ()),
        ),
    )  # fmt: skip


def description_of(machine: MachineView, disks: Sequence[ExportedDisk], *, now: datetime) -> MachineDescription:
    """Returns the description of the machine, without its disks if their images are not written yet."""
    return MachineDescription(
        hostname=machine.hostname,
        architecture=machine.architecture,
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        max_cores=machine.max_cores,
        max_memory_mib=machine.max_memory_mib,
        uefi=machine.settings.uefi is True,
        secure_boot=machine.settings.secure_boot is True,
        tpm=machine.settings.tpm is True,
        description=machine.description,
        tags=machine.tags,
        system=f"{machine.osystem}/{machine.distro_series}" if machine.osystem else "",
        host=machine.host_name or "",
        driver=machine.driver or "",
        exported_at=now.isoformat(timespec="seconds"),
        disks=tuple(disks),
        nics=tuple(map(_nic, machine.nics)),
    )


def _nic(nic: NicView) -> ExportedNic:
    vlan = nic.vlan or (nic.subnet.vlan if nic.subnet is not None else None)
    return ExportedNic(
        name=nic.name,
        mac_address=nic.mac_address,
        subnet="" if nic.subnet is None else str(nic.subnet.cidr),
        fabric="" if vlan is None else vlan.fabric_name,
        vid=None if vlan is None else vlan.vid,
        source=nic.source,
    )
