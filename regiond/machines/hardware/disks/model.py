"""Rules of changes of disks: what is refused, and what changes when, in words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from attrs import frozen

from common.disks.volume_names import marker_of_ours
from common.errors import InvalidRequest, NotAllowed, WrongState
from common.units import BYTES_PER_GB, gb
from common.values import DriverType, OwnershipMarker, PowerState
from regiond.machines.core.nics.model import checked_tags
from regiond.machines.values.disks import DiskOrigin, DiskPlan, DiskToAdd, DiskView, KeptDisk
from regiond.machines.values.model import MachineView
from regiond.quotas.model import Charge
from regiond.requests.caller import Caller

MAX_DISKS = 26  # sda … sdz
MAX_DISK_BYTES = 2**60
MAX_INDEX = 9999  # of the name of a volume


@frozen(kw_only=True)
class DiskHolder:
    """The facts of a machine on which its disks depend."""

    account_id: int | None  # whose quota counts them
    pool_id: int  # its resource pool
    next_index: int  # no volume that was ever listed has it


def check_listed(machine: MachineView) -> None:
    """Raises WrongState for a machine whose guest the host does not list."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )


def check_volumes(machine: MachineView, disks: Iterable[DiskView], done: str) -> None:
    """Raises WrongState if one of the disks is no volume of its storage pool: nothing can read it, nor be `done`.

    On LXD, the root disk of an adopted VM is none either; LXD finds it by the instance.
    """
    file = next((disk for disk in disks if not disk.is_volume and machine.driver != DriverType.LXD.value), None)
    if file is not None:
        raise WrongState(
            f"{file.title} of {machine.hostname} cannot be {done}: on {machine.host_name} it is no volume of the "
            f"storage pool {file.storage_pool_name}, but a file in a folder inside it. Make that folder a storage pool "
            "of its own (virsh pool-define-as, pool-start), and refresh the host: innkeeper vm-host refresh "
            f"{machine.host_name}",
            volume=file.volume,
        )


def check_size(size_bytes: int) -> None:
    if not 0 < size_bytes <= MAX_DISK_BYTES:
        limit = MAX_DISK_BYTES // BYTES_PER_GB
        raise InvalidRequest.of({"size": [f"A disk has at least 1 byte, and at most {limit} GB."]})


def check_new(disk: DiskToAdd) -> tuple[str, ...]:
    """Returns the tags. Raises InvalidRequest by field for what no machine can get."""
    check_size(disk.size_bytes)
    return checked_tags(disk.tags, of="A disk")


def check_number(machine: MachineView) -> None:
    if len(machine.disks) >= MAX_DISKS:
        raise WrongState(f"{machine.hostname} has {MAX_DISKS} disks, the most that a machine can have.")


def is_owned(disk: DiskView, installation_id: UUID) -> bool:
    """Returns whether Innkeeper created the disk, for its machine or for another one, or a person adopted it."""
    if disk.origin is not DiskOrigin.CREATED:
        return disk.origin is DiskOrigin.ADOPTED
    return marker_of_ours(disk.volume, installation_id) is not None


def check_ours(machine: MachineView, disk: DiskView, marker: OwnershipMarker, what: str) -> None:
    """Raises WrongState for a disk that is not the machine's own. `what` completes "it is not …"."""
    if disk.is_foreign:
        raise WrongState(
            f"{disk.title} of {machine.hostname} ({disk.volume} in {disk.storage_pool_name}) is foreign: somebody "
            f"attached it on {machine.host_name}, so it is not {what}. Adopt it first: innkeeper machine adopt-disk "
            f"{machine.hostname} disk={disk.title}"
        )
    if not is_owned(disk, marker.installation_id):
        raise WrongState(
            f"Innkeeper did not create {disk.title} of {machine.hostname} ({disk.volume} in "
            f"{disk.storage_pool_name}): it is not {what}. Change it on {machine.host_name}, and refresh the host."
        )


def check_growth(machine: MachineView, disk: DiskView, size_bytes: int) -> None:
    """Raises InvalidRequest for a smaller size, and for the present one unless it cancels a pending growth."""
    check_size(size_bytes)
    if size_bytes < disk.size_bytes or size_bytes == disk.held_bytes:
        reason = (
            f"{disk.title} of {machine.hostname} has {gb(disk.held_bytes)} ({disk.held_bytes} bytes). A disk can only "
            "grow."
        )
        raise InvalidRequest.of({"size": [reason]})


def check_removable(machine: MachineView, disk: DiskView) -> None:
    if disk.index == 0:
        raise WrongState(
            f"{disk.title} is the first disk of {machine.hostname}, which deployments write to. It goes with the "
            f"machine: innkeeper machine delete {machine.hostname}"
        )


def not_listed(machine: MachineView, disk: DiskView) -> WrongState:
    """Returns the error for an adopted disk whose volume the VM does not have: the name may be somebody else's."""
    return WrongState(
        f"{disk.title} of {machine.hostname} cannot be removed here: it was adopted as {disk.volume} in "
        f"{disk.storage_pool_name}, and {machine.host_name} does not list that volume as a disk of the VM. Refresh the "
        f"host: it is foreign then, or a discrepancy to approve: innkeeper vm-host refresh {machine.host_name}"
    )


def check_movable(machine: MachineView, disk: DiskView) -> None:
    """Raises WrongState for a machine that has to be off for that, but is not."""
    if machine.power_state == PowerState.OFF or (machine.power_state == PowerState.ON and _moves_live(machine, disk)):
        return
    reason = ""
    if machine.driver == DriverType.LXD.value:
        reason = f" {machine.product or 'LXD'} moves no disk of a running VM."
    elif machine.driver == DriverType.LIBVIRT.value and disk.index == 0:
        reason = " Its serial log and cloud-init data, which are in use, go with it."
    raise WrongState(
        f"{disk.title} of {machine.hostname} moves only while the machine is off; it is {machine.power_state}.{reason} "
        f"Shut it down first: innkeeper machine power-off {machine.hostname}"
    )


def _moves_live(machine: MachineView, disk: DiskView) -> bool:
    """Returns whether the hypervisor can move the disk while the machine runs."""
    if machine.driver == DriverType.LIBVIRT.value:
        return disk.index > 0
    return machine.driver == DriverType.SIMULATED.value


def check_copy_index(machine: MachineView, disk: DiskView, index: int) -> None:
    if index > MAX_INDEX:
        raise WrongState(
            f"{disk.title} of {machine.hostname} cannot move: volumes of its machine have used all {MAX_INDEX} numbers."
        )


def check_attachable(machine: MachineView, disk: KeptDisk) -> None:
    check_number(machine)
    if machine.host_id != disk.host_id:
        raise WrongState(
            f"{machine.hostname} is on {machine.host_name}, and {disk.in_words} on {disk.host_name}: a disk can be "
            "attached to a machine of its own host."
        )


def check_may_use(caller: Caller, disk: KeptDisk) -> None:
    """Raises NotAllowed unless the caller owns the disk, as an operator of its pool, or is an administrator."""
    if not caller.is_admin and not disk.belongs_to(caller):
        whose = (
            f"It belongs to {disk.owner}." if disk.owner else "It belongs to nobody: only administrators may use it."
        )
        raise NotAllowed(f"You do not own {disk.in_words}. {whose}")
    caller.require_operator(disk.pool_id, disk.pool_name)


def add_plan(machine: MachineView, size_bytes: int, storage_pool: str, charge: Charge) -> DiskPlan:
    return DiskPlan(
        name=machine.hostname,
        effects=(
            f"{machine.hostname} gets an empty disk of {gb(size_bytes)} in the storage pool {storage_pool} of "
            f"{machine.host_name}, {_when(machine)}.",
            "Its space is claimed at once.",
        ),
        charge=charge,
    )


def attach_plan(machine: MachineView, disk: KeptDisk) -> DiskPlan:
    return DiskPlan(
        name=machine.hostname,
        effects=(
            f"{machine.hostname} gets {disk.in_words} with its content ({gb(disk.size_bytes)} in "
            f"{disk.storage_pool_name}), {_when(machine)}.",
        ),
    )


def grow_plan(machine: MachineView, disk: DiskView, size_bytes: int) -> DiskPlan:
    later = "now if its hypervisor can do that while it runs, else when Innkeeper next starts it"
    when = "now" if _is_off(machine) else later
    more = size_bytes - disk.held_bytes
    title = f"{disk.title} of {machine.hostname}"
    if size_bytes == disk.size_bytes:
        return DiskPlan(name=machine.hostname, effects=(f"{title} keeps its {gb(size_bytes)}: nothing is pending.",))
    effects = [f"{title} gets {gb(size_bytes)} instead of {gb(disk.size_bytes)}, {when}."]
    if more > 0:
        effects.append(f"It claims {gb(more)} more of {disk.storage_pool_name} at once.")
    effects.append("A disk cannot be made smaller again. Its file system is grown in the guest.")
    return DiskPlan(name=machine.hostname, effects=tuple(effects))


def move_plan(machine: MachineView, disk: DiskView, pool: str) -> DiskPlan:
    title = f"{disk.title} of {machine.hostname}"
    effects = [
        f"{title} ({gb(disk.size_bytes)}) moves from {disk.storage_pool_name} to {pool} of {machine.host_name}, with "
        "its content.",
        f"The copy claims {gb(disk.held_bytes)} of {pool} at once; the space in {disk.storage_pool_name} is free when "
        "the move has ended. Quotas count the disk once.",
        f"{machine.hostname} stays off meanwhile. A copy has at most 30 minutes."
        if _is_off(machine)
        else f"{machine.hostname} keeps running, and writes to both volumes until it uses the copy. Should it be shut "
        "down meanwhile, the disk is copied anew.",
    ]
    if machine.driver == DriverType.LXD.value and disk.index == 0:
        effects.append(
            f"{machine.product or 'LXD'} moves the whole VM with its snapshots, since the root disk has no volume of "
            "its own."
        )
    else:
        effects.append("The volume of before is deleted only when the VM uses the complete copy.")
    return DiskPlan(name=machine.hostname, effects=tuple(effects))


def remove_plan(machine: MachineView, disk: DiskView, *, keep: bool) -> DiskPlan:
    size = f"{gb(disk.size_bytes)} in {disk.storage_pool_name}"
    effects = [
        f"{disk.title} ({size}) is kept with its content, and can be attached to a machine of {machine.host_name}."
        if keep
        else f"{disk.title} ({size}) and all data on it are deleted."
    ]
    if not _is_off(machine):
        effects.append(_taken_from_running(machine))
    return DiskPlan(
        name=machine.hostname,
        effects=(f"{machine.hostname} loses the disk {disk.title}.", *effects),
        loses_data=not keep,
    )


def deletion_plan(disk: KeptDisk) -> DiskPlan:
    """Returns the plan of the deletion of a kept disk, which its former machine's name confirms."""
    where = f"{gb(disk.size_bytes)} in {disk.storage_pool_name} of {disk.host_name}"
    effects = [f"This deletes {disk.in_words} ({where}) and all data on it."]
    if not disk.is_listed:
        effects.append("The last refresh of its host did not find it: it is gone, or some VM has it.")
    return DiskPlan(name=disk.hostname, effects=tuple(effects), loses_data=True)


def _taken_from_running(machine: MachineView) -> str:
    if machine.driver == DriverType.LXD.value:
        return (
            f"The VM runs, and {machine.product or 'LXD'} takes the disk even while it is mounted: unmount it there "
            "first, or data are lost."
        )
    return "The VM runs: its system has to give the disk back. Unmount it there first."


def _when(machine: MachineView) -> str:
    return "now" if _is_off(machine) else "while it runs"


def _is_off(machine: MachineView) -> bool:
    return machine.power_state == PowerState.OFF
