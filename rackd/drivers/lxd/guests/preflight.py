"""Checks that a server has what a spec needs: before compose, and again after a failure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from common.errors import NotFound, OutOfCapacity, Unsupported
from common.guests.guest_placement import Placed
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import NumaNode
from common.words.phrases import number_of
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.guests import nic_devices
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.instance_config import Prerequisites
from rackd.drivers.lxd.inventory.facts import numa_nodes

KIB_PER_MIB = 1024


def check(client: Client, spec: GuestSpec, scope: Scope, capabilities: Capabilities) -> Prerequisites:
    """Returns the prerequisites of the instance config.

    Raises NotFound for a missing storage pool, network or core, OutOfCapacity for too little disk space or too few huge
    pages, Unsupported for another huge page size, and DriverFailed for NICs with which LXD cannot start the VM.
    """
    disks = [(disk.pool_id, disk.size_bytes) for disk in spec.disks]
    volumes.check_space(client, disks, scope, what="The disks need")
    networks = networks_of(client, spec.nics, scope)
    if spec.nics:
        nic_devices.check_sources_exist(spec.nics, networks, client.place)
        nic_devices.check_startable(spec.nics, networks, client.place)
    if spec.pinned_core_ids or spec.huge_page_size_kib is not None:
        resources = client.get("resources", target=scope.member or "")
        check_nodes(spec, numa_nodes(resources), client.place)
    return Prerequisites(networks=networks, capabilities=capabilities)


def networks_of(client: Client, nics: Collection[NicSpec], scope: Scope) -> dict[str, Json]:
    """Returns the project's networks by name; none for a guest without NICs."""
    if not nics:
        return {}
    listed = client.get("networks", recursion="1", project=scope.project, target=scope.member or "")
    return {str(network["name"]): network for network in listed}


def leases_of(
    client: Client, nics: Collection[NicSpec], networks: Mapping[str, Json], scope: Scope, *, replaced: str = ""
) -> dict[str, dict[str, str]]:
    """Returns the static leases of the NICs by MAC address. Raises WrongState if another instance has one.

    `replaced` is the MAC address of a NIC whose lease ends.
    """
    leases = {nic.mac_address.lower(): nic_devices.lease_of(nic, networks) for nic in nics}
    leased = [nic for nic in nics if leases[nic.mac_address.lower()]]
    for name in sorted({nic.source for nic in leased}):
        known = client.get(path("networks", name, "leases"), project=scope.project)
        others = [one for one in known or () if str(one.get("hwaddr") or "").lower() != replaced.lower()]
        nic_devices.check_leases_free([nic for nic in leased if nic.source == name], others)
    return leases


def check_nodes(spec: Placed, nodes: tuple[NumaNode, ...], place: str) -> None:
    """Checks cores and huge pages; raises as `check` does."""
    existing = {core_id for node in nodes for core_id in node.core_ids}
    missing = sorted(set(spec.pinned_core_ids) - existing)
    if missing:
        raise NotFound(
            f"{place} has no core {', '.join(map(str, missing))} to which {spec.name} could be pinned; its "
            f"online cores are {', '.join(map(str, sorted(existing)))}.",
            core_ids=missing,
        )
    if spec.huge_page_size_kib is not None:
        check_pages(spec.name, spec.memory_mib, spec.huge_page_size_kib, nodes, place)


def check_pages(name: str, memory_mib: int, size_kib: int | None, nodes: tuple[NumaNode, ...], place: str) -> None:
    """Checks the huge pages for a guest; raises as `check` does. `size_kib` None means pages of LXD's only size."""
    pages = [pages for node in nodes for pages in node.huge_pages]
    sizes = sorted({one.size_kib for one in pages})
    if size_kib is None:
        size_kib = sizes[0] if sizes else 0
    if sizes != [size_kib]:
        default = f"{sizes[0]} KiB" if sizes else "the server has none"
        raise Unsupported(
            f"{name} needs huge pages of {size_kib} KiB, but {place} uses only the default size: "
            f"{default}. Request that size, or boot the server with default_hugepagesz={size_kib}K.",
            size_kib=size_kib,
        )
    total = sum(one.total for one in pages)
    needed = -(-memory_mib * KIB_PER_MIB // size_kib)
    if needed > total:
        raise OutOfCapacity(
            f"{name} needs {number_of(needed, 'huge page')} of {size_kib} KiB; {place} has {total}. "
            f"Reserve more on that server (vm.nr_hugepages), or compose without huge pages.",
            requested=needed,
            total=total,
        )
