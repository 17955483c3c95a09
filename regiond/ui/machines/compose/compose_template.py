"""The template of a compose: the VMs that can be one, and a form with the hardware of the chosen one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from common.errors import InnkeeperError
from common.units import BYTES_PER_GB
from regiond.machines.arrivals.clones.model import check_cloneable
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Caller
from regiond.ui.machines.compose.compose_form import MOST_ROWS, ComposeForm, DiskRow
from regiond.ui.texts import text

TEMPLATE, OF_TEMPLATE = "template", "of_template"  # the chosen one, and the one whose hardware the form has


def template_choices(caller: Caller, machines: Iterable[MachineView], host: str) -> Sequence[tuple[str, str]]:
    """Returns name and label of each VM that the caller can copy now; with `host` only of those there."""
    found = [one for one in machines if (not host or one.host_name == host) and _is_cloneable(caller, one)]
    return [
        (one.hostname, one.hostname if host else text("{vm} on {host}", vm=one.hostname, host=one.host_name or ""))
        for one in sorted(found, key=lambda one: one.hostname)
    ]


def _is_cloneable(caller: Caller, machine: MachineView) -> bool:
    try:
        check_cloneable(caller, machine)
    except InnkeeperError:
        return False
    return True


def is_new(form: ComposeForm) -> bool:
    """Returns whether another template was chosen than the one whose hardware the form has."""
    return form.text(TEMPLATE) != form.text(OF_TEMPLATE)


def like(form: ComposeForm, template: MachineView | None) -> ComposeForm:
    """Returns the form with the hardware of the template, and otherwise as it was typed; without one, with one disk.

    Sizes of disks are rounded up to whole GB: a copy is not smaller. No interface means those of the template.
    """
    values = {**form.values, OF_TEMPLATE: form.text(TEMPLATE)}
    if template is None:
        return evolve(form, values=values, disks=(DiskRow(number=0),), nics=())
    size = template.pending_size
    values |= {
        "host": template.host_name or form.text("host"),
        "cores": str(template.cores if size is None else size.cores),
        "memory": str(template.memory_mib if size is None else size.memory_mib),
        "max_cores": "" if template.max_cores is None else str(template.max_cores),
        "max_memory": "" if template.max_memory_mib is None else str(template.max_memory_mib),
    }
    firmware = {
        "uefi": template.settings.uefi,
        "secure_boot": template.settings.secure_boot,
        "tpm": template.settings.tpm,
    }
    ticks = (form.ticks - set(firmware)) | {name for name, is_set in firmware.items() if is_set}
    disks = tuple(
        DiskRow(
            number=number, size=str(-(-disk.held_bytes // BYTES_PER_GB)), pool=disk.storage_pool_name,
            tags=", ".join(disk.tags),
        )
        for number, disk in enumerate(template.disks[:MOST_ROWS])
    )  # fmt: skip
    return evolve(form, values=values, ticks=ticks, disks=disks, nics=())
