"""Rules of copies: what of a machine is copied, and what is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from common.errors import InvalidRequest, WrongState
from common.guests.compose_request import ComposeRequest
from common.guests.guest_content import DiskSource
from common.units import gb
from common.values import NicKind, PowerState
from common.words.phrases import number_of
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.hardware.disks.model import check_volumes
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.placement.requirements import Condition, DiskRequirement, NicRequirement
from regiond.requests.caller import Caller

CLONEABLE = (MachineState.READY, MachineState.ALLOCATED, MachineState.DEPLOYED)
KIB_PER_MIB = 1024


def check_cloneable(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed, and WrongState as `check_source`. Who may change a machine may clone it, also a locked one."""
    check_owner(caller, machine)
    check_source(machine)


def check_source(machine: MachineView) -> None:
    """Raises WrongState for a machine whose disks cannot be copied now, with what helps."""
    if machine.state not in CLONEABLE:
        names = ", ".join(MAAS_STATUS[one].name for one in CLONEABLE)
        raise WrongState(
            f"{machine.hostname} is {MAAS_STATUS[machine.state].name}, and only machines that are {names} are cloned.",
            state=machine.state.value,
        )
    if machine.host_id is None or machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    if machine.power_state != PowerState.OFF:
        raise WrongState(
            f"{machine.hostname} is {machine.power_state}: its disks are copied while its system cannot write to them. "
            f"Shut it down first: innkeeper machine power-off {machine.system_id}",
            power_state=machine.power_state,
        )
    missing = [disk.title for disk in machine.disks if disk.missing]
    if missing or not machine.disks:
        what = f"the volume of {', '.join(missing)} is missing" if missing else "it has no disk in a storage pool"
        raise WrongState(f"{machine.hostname} cannot be cloned: {what}.")
    check_volumes(machine, machine.disks, "cloned")


def with_size_of(machine: MachineView, request: ComposeRequest, hardware: Mapping[str, int | None]) -> ComposeRequest:
    """Returns the request with what it leaves to the template. `hardware` has the pinned cores and the page size."""
    size = machine.pending_size
    pinned, page_kib = hardware["pinned"], hardware["page_kib"]
    cores = request.cores or (machine.cores if size is None else size.cores)
    memory_mib = request.memory_mib or (machine.memory_mib if size is None else size.memory_mib)
    keeps_cores = not (request.cores or request.pinned_cores or request.pin_cores)
    keeps_pages = not request.memory_mib and not request.huge_pages_backed and page_kib is not None
    return evolve(
        request,
        host_id=machine.host_id,
        pool=request.pool or machine.pool.name,
        cores=cores,
        memory_mib=memory_mib,
        pin_cores=pinned if keeps_cores and pinned else request.pin_cores,
        huge_pages_backed=request.huge_pages_backed or keeps_pages,
        huge_page_size_mib=page_kib // KIB_PER_MIB if keeps_pages and page_kib else request.huge_page_size_mib,
        secure_boot=request.secure_boot or bool(machine.settings.secure_boot),
        tpm=request.tpm or bool(machine.settings.tpm),
        max_cores=request.max_cores or _at_least(machine.max_cores, cores),
        max_memory_mib=request.max_memory_mib or _at_least(machine.max_memory_mib, memory_mib),
    )


def _at_least(maximum: int | None, has: int) -> int | None:
    return maximum if maximum is not None and maximum >= has else None


def disks_like(machine: MachineView, storage_pool: str) -> tuple[DiskRequirement, ...]:
    """Returns the disks of the machine as requirements, in their order; all in `storage_pool` unless that is empty."""
    return tuple(
        DiskRequirement(
            label=disk.label, size_bytes=disk.held_bytes, tags=disk.tags,
            pools=(storage_pool or disk.storage_pool_name,),
        )
        for disk in machine.disks
    )  # fmt: skip


def disks_for(machine: MachineView, asked: Sequence[DiskRequirement]) -> tuple[DiskRequirement, ...]:
    """Returns the disks of a request, the first ones of which get the content of the machine's, in their order.

    Raises InvalidRequest for one that is too small.
    """
    problems = []
    if len(asked) < len(machine.disks):
        problems.append(
            f"{machine.hostname} has {number_of(len(machine.disks), 'disk')}, and the request names only {len(asked)}. "
            "Name at least as many, or none to have disks like those."
        )
    disks = []
    for number, one in enumerate(asked):
        original = machine.disks[number] if number < len(machine.disks) else None
        if original is not None and not one.size_bytes:
            one = evolve(one, size_bytes=original.held_bytes)  # noqa: PLW2901  # size 0: any
        if original is not None and one.size_bytes < original.held_bytes:
            problems.append(
                f"Disk {number + 1} has {gb(one.size_bytes)}; {original.title} of {machine.hostname}, whose content it "
                f"gets, has {gb(original.held_bytes)}. A copy is not smaller."
            )
        disks.append(one)
    if problems:
        raise InvalidRequest.of({"storage": problems})
    return tuple(disks)


def sources_of(machine: MachineView, count: int) -> tuple[DiskSource | None, ...]:
    """Returns the source of each of `count` disks; those after the machine's are empty."""
    sources = tuple(DiskSource(pool_id=disk.storage_pool_key, volume=disk.volume) for disk in machine.disks)
    return (*sources, *(None,) * (count - len(sources)))


def nics_like(machine: MachineView, addresses: Mapping[int, str]) -> tuple[NicRequirement, ...]:
    """Returns the NICs of the machine as requirements of its host; empty for the host's default NIC.

    `addresses` has the new address of each NIC that had a static one, by its row id.
    """
    if [nic.kind for nic in machine.nics] == [NicKind.USER]:
        return ()
    return tuple(_nic_like(machine, nic, addresses.get(nic.id)) for nic in machine.nics)


def _nic_like(machine: MachineView, nic: NicView, address: str | None) -> NicRequirement:
    """An interface is found by its id; without one, because the host has another of that name now, by its name."""
    if nic.interface_id is not None:
        condition = Condition(key="id", values=(str(nic.interface_id),))
    elif nic.source:
        condition = Condition(key="name", values=(nic.source,))
    else:
        raise WrongState(
            f"Innkeeper does not know what the NIC {nic.name} of {machine.hostname} is attached to. Refresh its host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    return NicRequirement(label=nic.name, conditions=(condition,), ip=address, configured=nic.mode != "unconfigured")
