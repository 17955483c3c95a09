"""Rules for the image of a deployment: who may deploy it, and which machines can run it. Pure."""

from __future__ import annotations

from common.errors import WrongState
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.values import DriverType
from regiond.images.model import Image
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Caller


def check_may_be_host(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed unless the caller is an administrator, WrongState for a machine on a simulated host."""
    caller.require_admin()
    if machine.driver is DriverType.SIMULATED:
        raise WrongState(f"{machine.hostname} is on a simulated host: no hypervisor can be set up in it.")


def check_image_host(machine: MachineView, image: Image) -> None:
    """Raises WrongState if the image is stored on another host than the machine's."""
    if not image.is_usable_on(machine.host_id):
        raise WrongState(
            f"The image {image.name} is on the VM host {image.host_name} only, and {machine.hostname} is on "
            f"{machine.host_name}. Deploy a machine of {image.host_name}, or name an image that {machine.host_name} or "
            "the region has."
        )


def own_root_disk(machine: MachineView) -> DiskView:
    """Returns the disk that an image is written to. Raises WrongState if Innkeeper created none."""
    root = min(machine.disks, key=lambda disk: disk.index, default=None)
    if root is None or machine.adopted:
        raise WrongState(
            f"{machine.hostname} has no root disk that Innkeeper created, so it cannot be deployed: compose a machine."
        )
    return root


def check_root_disk(machine: MachineView, image: ImageRef) -> None:
    """Raises WrongState if the machine has no root disk of its own that is large enough."""
    root = own_root_disk(machine)
    if root.size_bytes < image.virtual_size_bytes:
        raise WrongState(
            f"The root disk of {machine.hostname} has {root.size_bytes} bytes; the image needs "
            f"{image.virtual_size_bytes}. Compose a machine with a larger one."
        )


def image_ref(image: Image) -> ImageRef:
    """Returns the values of a ready image that a rack needs."""
    if image.host_id is not None:
        return ImageRef(
            sha256=image.sha256, size_bytes=image.size_bytes, virtual_size_bytes=image.virtual_size_bytes or 0,
            format=ImageFormat.QCOW2, of_host=True,
        )  # fmt: skip
    if image.format is None or image.virtual_size_bytes is None:
        raise AssertionError(f"the image {image.name} was chosen before it was checked")
    return ImageRef(
        sha256=image.sha256,
        size_bytes=image.size_bytes,
        virtual_size_bytes=image.virtual_size_bytes,
        format=image.format,
        uefi=image.uefi is True,  # for an image that was not checked for it, the driver finds out
    )
