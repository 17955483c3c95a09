"""Compares what a MAAS says of the VMs of its hosts with what the hosts report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen

from common.maas.inventory import Inventory, Machine
from common.maas.pinning import pins_in_words
from common.values import PowerState
from regiond.maas.imports.statuses import in_motion
from regiond.maas.parallel.model import DifferenceKind, Found

_POWER = {PowerState.ON: "on", PowerState.PAUSED: "on", PowerState.OFF: "off"}


@frozen(kw_only=True)
class SeenVm:
    """A VM as its host reported it last. 0 cores or MiB: not known."""

    name: str
    guest_key: str
    power_state: str
    cores: int
    memory_mib: int
    mac_addresses: frozenset[str]
    pinned_cores: frozenset[int] = frozenset()
    huge_pages: bool = False


@frozen(kw_only=True)
class SeenHost:
    """A VM host here. `problem` is why what it has is not known now; empty if it is. `node_of` is by core."""

    host_id: int
    problem: str
    vms: tuple[SeenVm, ...]
    node_of: Mapping[int, int] = field(factory=dict)


def compare(inventory: Inventory, hosts: Mapping[str, SeenHost]) -> tuple[Found, ...]:
    """Returns the differences of these hosts, which are by their ids in MAAS, ordered by host, VM and kind."""
    found: list[Found] = []
    by_host: dict[str, list[Machine]] = {}
    for machine in inventory.machines:
        by_host.setdefault(machine.host_id, []).append(machine)
    for source_id, host in hosts.items():
        machines = by_host.get(source_id, [])
        found += _at_work(host, machines)
        if host.problem:
            found.append(_difference(host, "", DifferenceKind.HOST_NOT_READY, "", host.problem))
        else:
            found += _of_host(host, machines)
    each = {(one.host_id, one.vm, one.kind): one for one in found}  # MAAS may have two machines for one VM
    return tuple(each[key] for key in sorted(each))


def _at_work(host: SeenHost, machines: Iterable[Machine]) -> Iterator[Found]:
    for one in machines:
        status = in_motion(one.status)
        if status:
            yield _difference(host, one.instance, DifferenceKind.IN_MOTION, status, "")


def _of_host(host: SeenHost, machines: Iterable[Machine]) -> Iterator[Found]:
    by_name = {one.guest_key: one for one in host.vms} | {one.name: one for one in host.vms}
    known: set[str] = set()
    for machine in machines:
        vm = by_name.get(machine.instance)
        if vm is None:
            yield _difference(host, machine.instance, DifferenceKind.ONLY_IN_MAAS, f"machine {machine.hostname}", "")
        else:
            known.add(vm.name)
            yield from _of_vm(host, machine, vm)
    for vm in host.vms:
        if vm.name not in known:
            yield _difference(host, vm.name, DifferenceKind.ONLY_ON_HOST, "", f"VM {vm.name}")


def _of_vm(host: SeenHost, machine: Machine, vm: SeenVm) -> Iterator[Found]:
    """Nothing that one side does not know is a difference."""
    here = _POWER.get(PowerState(vm.power_state), "")
    if here and machine.power_state in {"on", "off"} and here != machine.power_state:
        yield _difference(host, machine.instance, DifferenceKind.POWER_STATE, machine.power_state, here)
    for kind, there, reported in (
        (DifferenceKind.CORES, machine.cores, vm.cores), (DifferenceKind.MEMORY, machine.memory_mib, vm.memory_mib),
    ):  # fmt: skip
        if there and reported and there != reported:
            yield _difference(host, machine.instance, kind, str(there), str(reported))
    yield from _pins(host, machine, vm)
    macs = frozenset(one.mac_address for one in machine.nics)
    if macs != vm.mac_addresses:
        yield _difference(
            host, machine.instance, DifferenceKind.MAC_ADDRESSES, _listed(macs), _listed(vm.mac_addresses)
        )


def _pins(host: SeenHost, machine: Machine, vm: SeenVm) -> Iterator[Found]:
    if machine.pinned_cores is not None and frozenset(machine.pinned_cores) != vm.pinned_cores:
        there, here = (pins_in_words(one, host.node_of) for one in (machine.pinned_cores, vm.pinned_cores))
        yield _difference(host, machine.instance, DifferenceKind.PINNED_CORES, there, here)
    if machine.huge_pages is not None and machine.huge_pages != vm.huge_pages:
        there, here = ("yes" if one else "no" for one in (machine.huge_pages, vm.huge_pages))
        yield _difference(host, machine.instance, DifferenceKind.HUGE_PAGES, there, here)


def _difference(host: SeenHost, vm: str, kind: DifferenceKind, in_maas: str, here: str) -> Found:
    return Found(host_id=host.host_id, vm=vm, kind=kind, in_maas=in_maas, here=here)


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(texts)) or "none"
