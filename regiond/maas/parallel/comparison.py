"""Compares what a MAAS says of the VMs of its hosts with what the hosts report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from attrs import field, frozen

from common.maas.inventory import Inventory, Machine
from common.maas.pinning import pins_in_words
from common.values import PowerState
from regiond.maas.imports.statuses import in_motion
from regiond.maas.parallel.model import DifferenceKind, Found, Presence

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
    """A VM host here. `problem` is why what it has is not known now; empty if it is. `node_of` is by core.

    `group` is the same for members of one cluster that are seen through the same project. Of a host that is `taken`
    over, `machines` are those that came from MAAS, by system id: the VM of each.
    """

    host_id: int
    name: str = ""
    problem: str
    vms: tuple[SeenVm, ...]
    node_of: Mapping[int, int] = field(factory=dict)
    group: tuple[int, str] | None = None
    taken: bool = False
    machines: Mapping[str, str] = field(factory=dict)

    def vm(self, instance: str) -> SeenVm | None:
        """Returns the VM that has this name, or else this id of the hypervisor."""
        return self._by_name.get(instance)

    @cached_property
    def _by_name(self) -> Mapping[str, SeenVm]:
        return {one.guest_key: one for one in self.vms} | {one.name: one for one in self.vms}


def compare(inventory: Inventory, hosts: Mapping[str, SeenHost]) -> tuple[Found, ...]:
    """Returns the differences of these hosts, which are by their ids in MAAS, ordered by host, VM and kind.

    Those of hosts that were taken over are the last: they stop no other host from being taken over.
    """
    found: list[Found] = []
    by_host: dict[str, list[Machine]] = {}
    for machine in inventory.machines:
        by_host.setdefault(machine.host_id, []).append(machine)
    moves = _moves(hosts, by_host)
    for source_id, host in hosts.items():
        machines = by_host.get(source_id, [])
        found += _at_work(host, machines)
        if host.taken:
            found += _deleted(host, inventory)
        elif host.problem:
            found.append(_difference(host, "", DifferenceKind.HOST_NOT_READY, "", host.problem))
        else:
            found += _of_host(host, machines, moves)
    each = {(one.host_id, one.vm, one.kind): one for one in found}  # MAAS may have two machines for one VM
    taken = {one.host_id for one in hosts.values() if one.taken}
    return tuple(each[key] for key in sorted(each, key=lambda key: (key[0] in taken, *key)))


def presence_of(inventory: Inventory, source_ids: Iterable[str]) -> tuple[Presence, ...]:
    """Returns whether MAAS has these hosts, by their ids there, and how many machines on each."""
    counts = Counter(one.host_id for one in inventory.machines)
    listed = {one.id for one in inventory.hosts}
    hides = _may_hide(inventory)
    return tuple(
        Presence(source_id=one)
        if hides and one not in listed
        else Presence(source_id=one, in_maas=one in listed, machines_in_maas=counts[one])
        for one in source_ids
    )


def _moves(
    hosts: Mapping[str, SeenHost], by_host: Mapping[str, Iterable[Machine]]
) -> dict[str, tuple[SeenHost, SeenVm]]:
    """Returns where machines are, by system id, that are on another member of the cluster than MAAS says."""
    members: dict[tuple[int, str], list[SeenHost]] = {}
    for host in hosts.values():
        if host.group is not None:
            members.setdefault(host.group, []).append(host)
    claimed = {
        (host.host_id, vm.name)
        for source_id, host in hosts.items()
        for machine in by_host.get(source_id, ())
        if (vm := host.vm(machine.instance)) is not None
    }  # by machines that MAAS has where they are
    found = {}
    for source_id, host in hosts.items():
        others = [] if host.group is None else [one for one in members[host.group] if one is not host]
        for machine in by_host.get(source_id, ()) if others and not host.problem else ():
            if host.vm(machine.instance) is None:
                places = ((one, vm) for one in others if (vm := one.vm(machine.instance)) is not None)
                place = next((one for one in places if (one[0].host_id, one[1].name) not in claimed), None)
                if place is not None:
                    found[machine.system_id] = place
    return found


def _may_hide(inventory: Inventory) -> bool:
    """Returns whether the MAAS may have hosts, and machines on them, that the inventory has not."""
    return any(one.kind == "hosts" for one in inventory.left_out)


def _at_work(host: SeenHost, machines: Iterable[Machine]) -> Iterator[Found]:
    for one in machines:
        status = in_motion(one.status)
        if status:
            yield _difference(host, one.instance, DifferenceKind.IN_MOTION, status, "")


def _deleted(host: SeenHost, inventory: Inventory) -> Iterator[Found]:
    """Nothing is certain of what a MAAS does not show that may hide some."""
    if _may_hide(inventory):
        return
    known = {one.system_id for one in inventory.machines}
    known |= {one.id for one in inventory.left_out if one.kind == "machines"}  # of hosts that MAAS has no more
    for system_id, vm in host.machines.items():
        if system_id not in known:
            yield _difference(host, vm, DifferenceKind.DELETED_IN_MAAS, "", f"machine {system_id}")


def _of_host(
    host: SeenHost, machines: Iterable[Machine], moves: Mapping[str, tuple[SeenHost, SeenVm]]
) -> Iterator[Found]:
    known = {vm.name for place, vm in moves.values() if place is host}
    for machine in machines:
        vm = host.vm(machine.instance)
        if vm is not None:
            known.add(vm.name)
            yield from _of_vm(host, machine, vm)
        elif machine.system_id in moves:
            place, vm = moves[machine.system_id]
            yield _difference(host, machine.instance, DifferenceKind.MOVED, host.name, place.name)
            yield from _of_vm(host, machine, vm)
        else:
            yield _difference(host, machine.instance, DifferenceKind.ONLY_IN_MAAS, f"machine {machine.hostname}", "")
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
