"""Changes cores and memory in a domain's definition. Pure.

Everything else stays as it is, with what an administrator changed: cores and memory that can be added while the domain
runs, pins of the other cores, the layout of the CPU as far as it can have the new number of cores.
"""

from __future__ import annotations

from math import prod

from common.errors import Unsupported
from common.guests.sizes import GuestSize
from common.units import mib_from_kib
from common.words.phrases import number_of
from rackd.drivers.libvirt.definitions.memory_device_xml import absent_kib, memory_device, set_memory
from rackd.drivers.libvirt.definitions.metadata import maximum_in
from rackd.drivers.libvirt.xml import Element, attribute, bytes_at, text_at

_KIB_PER_MIB = 1024
_TOPOLOGY = ("sockets", "dies", "clusters", "cores", "threads")


def size_in(domain: Element) -> GuestSize:
    """Returns the cores that are switched on, and the memory with what a balloon has taken, as discovery does.

    Without what a memory device could add.
    """
    cores = int(attribute(domain, "vcpu", "current") or text_at(domain, "vcpu", "1"))
    return GuestSize(cores=cores, memory_mib=mib_from_kib(memory_kib(domain) - absent_kib(domain)))


def memory_kib(domain: Element, element: str = "memory") -> int:
    return (bytes_at(domain, element, unit="KiB") or 0) // 1024


def maximum_cores(domain: Element) -> int:
    """Returns how many cores the domain can have without a restart."""
    return int(text_at(domain, "vcpu", "1"))


def is_on_numa_nodes(domain: Element) -> bool:
    """Returns whether its memory is bound to nodes of the host."""
    return domain.find("numatune") is not None


def set_size(domain: Element, size: GuestSize) -> bool:
    """Returns whether the definition has changed. Raises Unsupported, naming what cannot follow the new size."""
    before = size_in(domain)
    if size.cores != before.cores:
        _set_cores(domain, size.cores)
    if size.memory_mib != before.memory_mib:
        _set_memory(domain, size.memory_mib)
    return size != before


def _set_cores(domain: Element, cores: int) -> None:
    vcpu = domain.find("vcpu")
    if vcpu is None:
        raise Unsupported("The guest's definition has no number of cores.")
    before, prepared = maximum_cores(domain), maximum_in(domain)[0]
    maximum = max(before, cores) if "current" in vcpu.attrib else cores  # keeps what can be added while it runs
    maximum = max(maximum, prepared)
    vcpu.text = str(maximum)
    vcpu.attrib.pop("current", None)
    if cores < maximum:
        vcpu.set("current", str(cores))
    for states in domain.findall("vcpus"):  # which cores are on; libvirt writes it anew
        domain.remove(states)
    if maximum != before:
        _fit_topology(domain, maximum)
        cell = _only_cell(domain)
        if cell is not None:
            cell.set("cpus", "0" if maximum == 1 else f"0-{maximum - 1}")
        _drop_pins(domain, maximum)


def _fit_topology(domain: Element, cores: int) -> None:
    """Changes the number of sockets if there are several, else that of cores in one, as far as that suffices."""
    topology = domain.find("cpu/topology")
    if topology is None:
        return
    counts = {key: int(topology.get(key, "1")) for key in _TOPOLOGY}
    scaled = ("sockets", "cores") if counts["sockets"] > 1 else ("cores", "sockets")
    for key in scaled:
        count, rest = divmod(cores, prod(counts.values()) // counts[key])
        if count and not rest:
            topology.set(key, str(count))
            return
    layout = ", ".join(f"{count} {key}" for key, count in counts.items() if count > 1)
    raise Unsupported(
        f"The CPU topology in the guest's definition ({layout}) cannot have {number_of(cores, 'core')}. Change "
        "or remove <topology> on the host, or choose another number."
    )


def _only_cell(domain: Element) -> Element | None:
    cells = domain.findall("cpu/numa/cell")
    if len(cells) > 1:
        raise Unsupported(
            f"The guest's definition has {len(cells)} NUMA cells, and Innkeeper cannot choose how cores and memory are "
            "spread over them. Change them on the host while the guest is off."
        )
    return cells[0] if cells else None


def _drop_pins(domain: Element, cores: int) -> None:
    tuning = domain.find("cputune")
    for pin in [] if tuning is None else tuning.findall("vcpupin"):
        if tuning is not None and int(pin.get("vcpu", "0")) >= cores:
            tuning.remove(pin)


def _set_memory(domain: Element, memory_mib: int) -> None:
    wanted_kib = memory_mib * _KIB_PER_MIB
    prepared_mib = maximum_in(domain)[1]
    has_device = domain.find("devices/memory") is not None
    if prepared_mib and _only_cell(domain) is not None and (memory_device(domain) is not None or not has_device):
        set_memory(domain, memory_mib, prepared_mib)
        return
    if has_device:
        raise Unsupported(
            "The guest's definition has memory devices. Change its memory on the host, or remove them there."
        )
    limit_kib = memory_kib(domain, "memtune/hard_limit")
    if 0 < limit_kib < wanted_kib:
        raise Unsupported(
            f"The guest's definition limits its process to {limit_kib // _KIB_PER_MIB} MiB (<hard_limit>), less than "
            f"{memory_mib} MiB. Change the limit on the host."
        )
    cell = _only_cell(domain)
    if cell is not None:
        cell.set("memory", str(wanted_kib))
        cell.set("unit", "KiB")
    for name in ("memory", "currentMemory"):
        _set_kib(domain, name, wanted_kib)
    if 0 < memory_kib(domain, "maxMemory") < wanted_kib:
        _set_kib(domain, "maxMemory", wanted_kib)


def _set_kib(domain: Element, name: str, kib: int) -> None:
    element = domain.find(name)
    if element is not None:
        element.text = str(kib)
        element.set("unit", "KiB")
