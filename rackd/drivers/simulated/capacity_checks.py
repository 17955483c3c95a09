"""Rejects a guest for which a simulated host lacks a resource or capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from common.addresses.simulated import SimulatedAddress
from common.errors import DriverFailed, NotFound, OutOfCapacity, WrongState
from common.guests.guest_placement import Placed
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import Guest, NicKind
from common.words.phrases import number_of
from rackd.drivers.simulated.facts import host_networks, pool_names, pool_total_bytes, unavailable_pools
from rackd.drivers.simulated.guest_resources import PageHolder


def check_resources_exist(address: SimulatedAddress, spec: GuestSpec) -> None:
    """Raises NotFound naming the missing storage pool, network, core or NUMA node."""
    for disk in spec.disks:
        check_pool_exists(address, disk.pool_id)
    for nic in spec.nics:
        check_nic_source(address, nic)
    check_cores_and_nodes(address, spec)


def check_cores_and_nodes(address: SimulatedAddress, spec: Placed) -> None:
    """Raises NotFound naming the missing core or NUMA node."""
    missing = [core_id for core_id in spec.pinned_core_ids if not 0 <= core_id < address.cores]
    if missing:
        raise NotFound(
            f"{address.identity} has no core {', '.join(map(str, missing))}; its cores are 0 to {address.cores - 1}.",
            core_ids=missing,
        )
    for node_id in spec.numa_node_ids:
        nodes = [str(number) for number in range(address.numa_nodes)]
        _check_in(address, "NUMA node", str(node_id), nodes, node_id=node_id)


def check_volumes_deletable(address: SimulatedAddress, guest: Guest) -> None:
    """Raises WrongState if a disk of the guest is in a storage pool that is not available."""
    for disk in guest.disks:
        try:
            check_pool_available(address, disk.pool_id or "")
        except DriverFailed as error:
            raise WrongState(
                f"Nothing was deleted: {disk.volume} could not be deleted with {guest.name}. {error}"
            ) from error


def check_pool_exists(address: SimulatedAddress, pool_id: str) -> None:
    """Raises NotFound naming the storage pool."""
    _check_in(address, "storage pool", pool_id, pool_names(address), pool_id=pool_id)


def check_pool_available(address: SimulatedAddress, pool_id: str) -> None:
    """Raises DriverFailed for a pool in which no volume can be made."""
    if pool_id in unavailable_pools(address):
        raise DriverFailed(f"The storage pool {pool_id} of {address.identity} is unavailable.", pool_id=pool_id)


def check_pool_space(address: SimulatedAddress, pool_id: str, used_bytes: int, requested_bytes: int, what: str) -> None:
    """Raises OutOfCapacity with numbers; `what` begins its message."""
    total_bytes = pool_total_bytes(address, pool_id)
    left_bytes = max(0, total_bytes - used_bytes)
    if requested_bytes > left_bytes:
        raise OutOfCapacity(
            f"{what} needs {requested_bytes} bytes; the storage pool {pool_id} of {address.identity} has {left_bytes} "
            f"of {total_bytes} left.",
            pool_id=pool_id,
            requested_bytes=requested_bytes,
            left_bytes=left_bytes,
            total_bytes=total_bytes,
        )


def check_capacity(
    address: SimulatedAddress, spec: GuestSpec, holders: Iterable[PageHolder], taken: Mapping[str, int]
) -> None:
    """Raises OutOfCapacity with numbers; `taken` has the assigned virtual functions by port."""
    if spec.huge_page_size_kib is not None:
        check_huge_pages(address, spec.memory_mib, spec.numa_node_ids, holders, size_kib=spec.huge_page_size_kib)
    check_functions(address, spec.nics, taken)


def check_functions(address: SimulatedAddress, nics: Iterable[NicSpec], taken: Mapping[str, int]) -> None:
    """Raises OutOfCapacity with numbers; `taken` has the assigned virtual functions by port."""
    functions = address.virtual_functions.functions
    for port, needed in Counter(nic.source for nic in nics if nic.kind is NicKind.SRIOV).items():
        left = max(0, functions - taken.get(port, 0))
        if needed > left:
            raise OutOfCapacity(
                f"{address.identity}: {port} has {left} of {functions} virtual functions left; {needed} are needed.",
                port=port,
                requested=needed,
                left=left,
                total=functions,
            )


def _check_in(address: SimulatedAddress, what: str, name: str, known: Iterable[str], **details: object) -> None:
    existing = list(known)
    if name not in existing:
        has = f"it has {', '.join(existing)}" if existing else "it has none"
        raise NotFound(f"{address.identity} has no {what} '{name}'; {has}.", **details)


def check_nic_source(address: SimulatedAddress, nic: NicSpec) -> None:
    """Raises NotFound naming the missing network, bridge or port."""
    networks = host_networks(address)
    managed = [one for one in networks if one.kind is NicKind.NETWORK]
    known = {
        NicKind.NETWORK: ("network", [one.name for one in managed]),
        NicKind.BRIDGE: ("bridge", [one.bridge for one in managed if one.bridge]),
        NicKind.MACVLAN: ("port", [one.name for one in networks if one.kind is NicKind.MACVLAN]),
        NicKind.SRIOV: ("port with virtual functions", [one.name for one in networks if one.virtual_functions]),
    }
    if nic.kind in known:
        what, names = known[nic.kind]
        _check_in(address, what, nic.source, names, network=nic.source)


def check_huge_pages(
    address: SimulatedAddress,
    memory_mib: int,
    node_ids: Collection[int],
    holders: Iterable[PageHolder],
    *,
    size_kib: int | None = None,
) -> None:
    """Raises OutOfCapacity unless the pages that `holders` leave suffice, of the chosen nodes if there are any.

    `size_kib` None means pages of the size that the host has.
    """
    own_kib = address.hugepage_size_mib * 1024
    size_kib = own_kib if size_kib is None else size_kib
    if not address.hugepages_mib or size_kib != own_kib:
        has = f"{address.hugepages_mib} MiB in pages of {own_kib} KiB" if address.hugepages_mib else "no huge pages"
        raise OutOfCapacity(
            f"{address.identity} has {has}; huge pages of {size_kib} KiB are needed.", size_kib=size_kib
        )
    others = list(holders)
    needed = _pages(address, memory_mib)
    for where, places in _places(address, node_ids):
        total = sum(address.huge_pages_of_nodes[node_id] for node_id in places)
        used = sum(_pages(address, one.memory_mib) for one in others if _nodes(address, one) <= places)
        if needed > total - used:
            raise OutOfCapacity(
                f"{address.identity}: {number_of(needed, 'huge page')} of {size_kib} KiB requested{where}, "
                f"{max(0, total - used)} of {total} are left.",
                requested=needed,
                left=max(0, total - used),
                total=total,
            )


def _places(address: SimulatedAddress, node_ids: Collection[int]) -> Iterator[tuple[str, frozenset[int]]]:
    """Yields where the pages must be available: on the chosen nodes, and on the host as a whole."""
    if node_ids:
        yield f" on NUMA node {', '.join(map(str, node_ids))}", frozenset(node_ids)
    yield "", frozenset(range(address.numa_nodes))


def _nodes(address: SimulatedAddress, holder: PageHolder) -> frozenset[int]:
    if holder.node_ids:
        return frozenset(holder.node_ids)
    of_cores = frozenset(_node_of(address, core_id) for core_id in holder.core_ids)
    return of_cores or frozenset(range(address.numa_nodes))


def _node_of(address: SimulatedAddress, core_id: int) -> int:
    """Returns the last node if the host now has fewer cores than when the guest was created."""
    end = 0
    for node_id, cores in enumerate(address.cores_of_nodes):
        end += cores
        if core_id < end:
            return node_id
    return address.numa_nodes - 1


def _pages(address: SimulatedAddress, memory_mib: int) -> int:
    return -(-memory_mib // address.hugepage_size_mib)
