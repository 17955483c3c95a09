"""Matches machines against device constraints and finds the disk and NIC for each label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve, frozen

from common.values import NicKind
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import Labels, MachineView
from regiond.machines.values.nics import NicView
from regiond.placement.bipartite_matching import Shortage, match
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateSubnet
from regiond.placement.interface_matching import matching_interfaces
from regiond.placement.requirements import Condition, DiskRequirement, NicRequirement

R = TypeVar("R")
D = TypeVar("D")


@frozen(kw_only=True)
class DeviceConstraints:
    """Constraints on a machine's devices; empty ones match any machine.

    Each of `disks` and `nics` needs a device of its own. For each of `attached` the machine must have a NIC that
    satisfies it; no NIC may satisfy one of `detached`.
    """

    disks: tuple[DiskRequirement, ...] = ()
    nics: tuple[NicRequirement, ...] = ()
    attached: tuple[Condition, ...] = ()
    detached: tuple[Condition, ...] = ()


def match_labels(
    machine: MachineView, constraints: DeviceConstraints, interfaces: Sequence[CandidateInterface]
) -> Labels | None:
    """Returns the device of each label; None if the machine does not match. `interfaces` are those of its host."""
    disks = _match_disks(machine.disks, constraints.disks)
    if disks is None:
        return None
    connections = {nic.id: _connection(nic, interfaces) for nic in machine.nics}
    if not _is_attached(machine, connections, constraints):
        return None
    nics = assign(
        constraints.nics, machine.nics, lambda required, nic: _nic_fits(machine, required, nic, connections[nic.id])
    )
    if nics is None:
        return None
    return Labels(
        disks=_labelled((required.label, disk.id) for required, disk in zip(constraints.disks, disks, strict=True)),
        nics=_labelled((required.label, nic.id) for required, nic in zip(constraints.nics, nics, strict=True)),
    )


def labels_as_composed(machine: MachineView, constraints: DeviceConstraints) -> Labels:
    """Returns the labels of a machine that was composed for the constraints: its devices have the same order."""
    disks = zip(constraints.disks, machine.disks, strict=False)
    nics = zip(constraints.nics, machine.nics, strict=False)
    return Labels(
        disks=_labelled((required.label, disk.id) for required, disk in disks),
        nics=_labelled((required.label, nic.id) for required, nic in nics),
    )


def assign(required: Sequence[R], devices: Sequence[D], fits: Callable[[R, D], bool]) -> tuple[D, ...] | None:
    """Returns a device of its own for each requirement, preferring earlier devices; None if that is impossible."""
    usable = {
        number: [index for index, device in enumerate(devices) if fits(one, device)]
        for number, one in enumerate(required)
    }
    assigned = match(usable, dict.fromkeys(range(len(devices)), 1))
    return None if isinstance(assigned, Shortage) else tuple(devices[assigned[number]] for number in usable)


def _match_disks(disks: Sequence[DiskView], required: Sequence[DiskRequirement]) -> tuple[DiskView, ...] | None:
    """Returns a disk for each requirement: the first is for the root disk, others get the smallest disks that fit."""
    if not required:
        return ()
    root, *others = required
    if not disks or not _disk_fits(root, disks[0]):
        return None
    by_size = sorted(disks[1:], key=lambda disk: (disk.size_bytes, disk.index))
    found = assign(others, by_size, _disk_fits)
    return None if found is None else (disks[0], *found)


def _disk_fits(required: DiskRequirement, disk: DiskView) -> bool:
    """Returns whether the disk satisfies the requirement. The name of its storage pool counts as a tag."""
    if required.pools and disk.storage_pool_name not in required.pools:
        return False
    return disk.size_bytes >= required.size_bytes and set(required.tags) <= {*disk.tags, disk.storage_pool_name}


def _is_attached(
    machine: MachineView, connections: Mapping[int, CandidateInterface], constraints: DeviceConstraints
) -> bool:
    def some_nic_satisfies(condition: Condition) -> bool:
        required = NicRequirement(label="", conditions=(condition,))
        return any(_satisfies(machine, required, connection) for connection in connections.values())

    return all(some_nic_satisfies(one) for one in constraints.attached) and not any(
        some_nic_satisfies(one) for one in constraints.detached
    )


def _nic_fits(machine: MachineView, required: NicRequirement, nic: NicView, connection: CandidateInterface) -> bool:
    if required.ip is not None and required.ip != str(nic.ip_address):
        return False
    return required.configured is (nic.mode != "unconfigured") and _satisfies(machine, required, connection)


def _satisfies(machine: MachineView, required: NicRequirement, connection: CandidateInterface) -> bool:
    host = Candidate(
        id=machine.host_id or 0, name=machine.host_name or "", state="", reachable=True, architecture=None, cores=None,
        memory_mib=None, interfaces=(connection,),
    )  # fmt: skip
    return bool(matching_interfaces(required, host))


def _connection(nic: NicView, interfaces: Sequence[CandidateInterface]) -> CandidateInterface:
    """Returns the host interface of the NIC, with only the NIC's own subnet if that is known."""
    found = next((one for one in interfaces if one.name == nic.source and one.vid in (None, 0, nic.vid)), None)
    found = found or next((one for one in interfaces if one.name == nic.source), None)
    connection = _connection_of_record(nic) if found is None else evolve(found, attachable=True, active=True)
    own = tuple(subnet for subnet in connection.subnets if nic.subnet is not None and subnet.id == nic.subnet.id)
    return evolve(connection, subnets=own or connection.subnets)


def _connection_of_record(nic: NicView) -> CandidateInterface:
    """Returns the interface as the ledger has it, for a NIC whose host no longer has the interface."""
    subnets: tuple[CandidateSubnet, ...] = ()
    if nic.subnet is not None:
        subnets = (CandidateSubnet(id=nic.subnet.id, name=nic.subnet.name, cidr=str(nic.subnet.cidr)),)
    vlan = nic.vlan
    return CandidateInterface(
        id=0,
        name=nic.source,
        kind=NicKind(nic.kind),
        type="unknown",
        vid=nic.vid if vlan is None else vlan.vid,
        vlan_id=None if vlan is None else vlan.id,
        vlan_name=None if vlan is None else vlan.name,
        fabric_id=None if vlan is None else vlan.fabric_id,
        fabric_name=None if vlan is None else vlan.fabric_name,
        space_id=None if vlan is None else vlan.space_id,
        space_name=None if vlan is None else vlan.space_name,
        subnets=subnets,
    )


def _labelled(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((label, id_) for label, id_ in pairs if label)
