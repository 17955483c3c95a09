"""Whether a server has what a spec names: looked at before anything is made, and again when making it failed."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import NotFound, OutOfCapacity, Unsupported
from common.values import GuestSpec, NumaNode
from rackd.drivers.lxd import nics, storage
from rackd.drivers.lxd.client import Client, Json
from rackd.drivers.lxd.definition import Ground
from rackd.drivers.lxd.facts import numa_nodes
from rackd.drivers.lxd.survey import Place

KIB_PER_MIB = 1024


def check(client: Client, spec: GuestSpec, place: Place, extensions: Iterable[str]) -> Ground:
    """Raises NotFound for a storage pool, network or core that is not there, OutOfCapacity without room for disks or
    huge pages, Unsupported when huge pages have another size, DriverFailed for cards with which LXD never starts it."""
    storage.check_room(client, spec, place)
    networks: dict[str, Json] = {}
    if spec.nics:
        listed = client.get("networks", recursion="1", project=place.project, target=place.member or "")
        networks = {str(told["name"]): told for told in listed}
        nics.check_there(spec.nics, networks, client.address.normalised)
        nics.check_startable(spec.nics, networks, client.address.normalised)
    if spec.pinned_core_ids or spec.huge_page_size_kib is not None:
        resources = client.get("resources", target=place.member or "")
        check_nodes(spec, numa_nodes(resources), client.address.normalised)
    return Ground(networks=networks, extensions=frozenset(extensions))


def check_nodes(spec: GuestSpec, nodes: tuple[NumaNode, ...], address: str) -> None:
    """As `check`, of cores and huge pages."""
    there = {core_id for node in nodes for core_id in node.core_ids}
    missing = sorted(set(spec.pinned_core_ids) - there)
    if missing:
        raise NotFound(
            f"The server of LXD at {address} has no core {', '.join(map(str, missing))} for {spec.name} to be pinned "
            f"to; those that are on line are {', '.join(map(str, sorted(there)))}.",
            core_ids=missing,
        )
    if spec.huge_page_size_kib is not None:
        _check_pages(spec, spec.huge_page_size_kib, nodes, address)


def _check_pages(spec: GuestSpec, size_kib: int, nodes: tuple[NumaNode, ...], address: str) -> None:
    pages = [pages for node in nodes for pages in node.huge_pages]
    sizes = sorted({one.size_kib for one in pages})
    if sizes != [size_kib]:
        there = f"here that is {sizes[0]} KiB" if sizes else "the server says that it has none"
        raise Unsupported(
            f"{spec.name} asks for huge pages of {size_kib} KiB, but LXD at {address} uses only those of its system's "
            f"default size: {there}. Ask for that size, or boot the server with default_hugepagesz={size_kib}K.",
            size_kib=size_kib,
        )
    total = sum(one.total for one in pages)
    asked = -(-spec.memory_mib * KIB_PER_MIB // size_kib)
    if asked > total:
        raise OutOfCapacity(
            f"{spec.name} needs {asked} huge pages of {size_kib} KiB; the server of LXD at {address} has {total}. "
            f"Set more aside there (vm.nr_hugepages), or compose without huge pages.",
            asked=asked,
            total=total,
        )
