"""Rules of ISO images in the drive of a machine, and the plans of their changes. Pure."""

from __future__ import annotations

from common.errors import WrongState
from common.guests.deployment_spec import ImageRef
from common.values import PowerState
from regiond.images.model import Image
from regiond.machines.values.boot import ChangePlan
from regiond.machines.values.model import MachineView


def iso_ref(image: Image) -> ImageRef:
    """Returns the values of a ready ISO image that a rack needs."""
    if image.format is None or image.virtual_size_bytes is None:
        raise AssertionError(f"the image {image.name} was chosen before it was checked")
    return ImageRef(
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        virtual_size_bytes=image.virtual_size_bytes,
        format=image.format,
        iso=True,
    )


def pool_for_copy(machine: MachineView) -> str:
    """Returns the storage pool (its key) to which images are copied: that of the first disk. Raises WrongState."""
    first = min(machine.disks, key=lambda disk: disk.index, default=None)
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    if first is None:
        raise WrongState(f"{machine.hostname} has no disk in a storage pool, to which an ISO image could be copied.")
    return first.storage_pool_key


def insert_plan(machine: MachineView, image: Image) -> ChangePlan:
    name, present = machine.hostname, machine.boot.iso
    if machine.boot.iso_sha256 == image.sha256 and not machine.boot.next_iso:
        return ChangePlan(name=name, effects=(f"{name} has {image.name} in its drive already.",))
    is_off = machine.power_state == PowerState.OFF
    when = "now" if is_off else "now if its hypervisor can do that, else at its next start"
    instead = f" instead of {present}" if present else ""
    return ChangePlan(
        name=name,
        effects=(
            f"{machine.host_name} gets a copy of {image.name} ({image.size_bytes} bytes), unless it has one.",
            f"{name} gets {image.name} in its drive{instead}, {when}.",
            f"{name} boots from it only if its boot order says so: innkeeper machine set-boot {name} order=iso",
        ),
    )


def eject_plan(machine: MachineView) -> ChangePlan:
    name, boot = machine.hostname, machine.boot
    present = boot.next_iso or boot.iso
    if not present:
        return ChangePlan(name=name, effects=(f"{name} has no ISO image in its drive.",))
    return ChangePlan(
        name=name, effects=(f"{present} is taken out of the drive of {name}, also if its system uses it.",)
    )
