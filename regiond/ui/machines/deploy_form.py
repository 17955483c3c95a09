"""The form that deploys a VM: the images to choose from, and what is sent. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import frozen

from common.values import DriverType
from regiond.images.model import Image, split_architecture
from regiond.machines.values.model import MachineView
from regiond.ui.texts import constant, counted, text
from regiond.ui.views.formats import file_size

VM_HOST_FIELDS = (("register_vmhost", constant("An LXD server")), ("install_kvm", constant("A libvirt host")))


@frozen(kw_only=True)
class ImageChoice:
    """One image in the list. `obstacle` is why the VM cannot be deployed with it; empty if it can."""

    name: str
    label: str
    obstacle: str = ""


def root_disk_bytes(machine: MachineView) -> int:
    """0 if the machine has no disk."""
    return min(((disk.index, disk.size_bytes) for disk in machine.disks), default=(0, 0))[1]


def image_choices(images: Iterable[Image], machine: MachineView) -> list[ImageChoice]:
    """The ready images of the machine's architecture, by title; those that it cannot be deployed with come
    last.
    """
    architecture, root = split_architecture(machine.architecture)[0], root_disk_bytes(machine)
    choices = [
        _choice(one, machine.host_id, root)
        for one in images
        if one.is_ready and not one.is_iso and one.architecture == architecture
    ]
    return sorted(choices, key=lambda choice: (bool(choice.obstacle), choice.label.casefold(), choice.name))


def image_choices_of_all(images: Iterable[Image], machines: Collection[MachineView]) -> list[ImageChoice]:
    """The ready images that all of the machines have, by name; an obstacle counts those that an image does not suit.

    An image name stands for the image of each machine's architecture.
    """
    choices: dict[str, list[ImageChoice]] = {}
    ready = list(images)
    for machine in machines:
        for choice in image_choices(ready, machine):
            choices.setdefault(choice.name, []).append(choice)
    found = [_of_all(same, len(machines)) for same in choices.values()]
    return sorted(found, key=lambda choice: (bool(choice.obstacle), choice.label.casefold(), choice.name))


def _of_all(same: Sequence[ImageChoice], count: int) -> ImageChoice:
    """`same` are the choices of the machines whose architecture has the image."""
    obstacles = [choice.obstacle for choice in same if choice.obstacle]
    others = count - len(same)
    if others:
        obstacles += [
            counted("is not for the architecture of {n} VM", "is not for the architecture of {n} VMs", others)
        ]
    return ImageChoice(name=same[0].name, label=same[0].label, obstacle=obstacles[0] if obstacles else "")


def vm_host_choices(machine: MachineView, *, is_admin: bool) -> tuple[tuple[str, str], ...]:
    """The fields of the API that make the VM a host, with their words; none if the user cannot."""
    return VM_HOST_FIELDS if is_admin and machine.driver is not DriverType.SIMULATED else ()


def with_vm_host(values: Mapping[str, str]) -> dict[str, str]:
    """The fields as the API takes them: `vm_host` names one of `VM_HOST_FIELDS`, or is empty."""
    chosen = values.get("vm_host", "")
    sent = {name: text for name, text in values.items() if name != "vm_host"}
    return {**sent, chosen: "true"} if chosen in dict(VM_HOST_FIELDS) else sent


def _choice(image: Image, host_id: int | None, root_bytes: int) -> ImageChoice:
    needed = image.virtual_size_bytes or 0
    label = f"{image.title} ({image.name})" if image.title else image.name
    if not image.is_usable_on(host_id):
        return ImageChoice(
            name=image.name, label=label, obstacle=text("is on the VM host {host}", host=image.host_name)
        )
    obstacle = text("needs a root disk of {size}", size=file_size(needed)) if needed > root_bytes else ""
    return ImageChoice(name=image.name, label=label, obstacle=obstacle)


def image_problems(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the problem if no image is chosen: the API would take the default one, which nobody chose."""
    return {} if values["distro_series"] else {"distro_series": [text("Choose an image.")]}


def encoded_user_data(text: str) -> str:
    """The text as the API takes it, in base64; empty for a blank one. Browsers send CR LF, which breaks scripts."""
    lines = text.replace("\r\n", "\n")
    return base64.b64encode(lines.encode()).decode() if lines.strip() else ""
