"""Converts a libvirt host's responses to HostFacts."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from urllib.parse import urlsplit

from common.hosts.discovery import Problem
from common.units import mib_from_kib
from common.values import POOL_AVAILABLE, HostFacts, HostNetwork, HugePages, NicKind, NumaNode, StoragePool
from rackd.drivers.libvirt.addresses.delivery import own_address
from rackd.drivers.libvirt.connection.host_reader import HostResponses
from rackd.drivers.libvirt.definitions.host_traits import traits_of
from rackd.drivers.libvirt.definitions.pool_types import POOL_TYPES, reason_unused
from rackd.drivers.libvirt.definitions.vlan_xml import network_vlans
from rackd.drivers.libvirt.inventory.interfaces import interfaces_of
from rackd.drivers.libvirt.inventory.node_devices import network_devices
from rackd.drivers.libvirt.inventory.pool_storage import Usage, local_device, storage_ids, usages
from rackd.drivers.libvirt.xml import Element, attribute, bytes_at, parse, text_at

GIB = 1024**3
_OWN_BRIDGES = ("nat", "route", "open", "isolated")  # libvirt creates a bridge for these networks
_ROUTED = ("nat", "route", "open")  # the host is the gateway
_WHOLE_INTERFACES = ("hostdev", "passthrough")  # each guest receives a whole interface of the server
INACTIVE = "inactive"


def version_text(number: int) -> str:
    """Returns `9.0.2` for libvirt's 9000002."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def server_identity(responses: HostResponses) -> str:
    """Returns a text that is the same for every address of this libvirt daemon and after it restarts.

    Without SMBIOS libvirt generates a new host UUID at each start. Then the host name and the UUID of a network filter,
    which libvirt stores on disk, replace it. A user session's libvirt is a separate server.
    """
    if responses.uri.startswith("test:"):
        return f"libvirt:{responses.uri}"
    scope = f"session:{os.getuid()}" if responses.uri.endswith("/session") else "system"
    host_uuid = text_at(parse(responses.capabilities, "its capabilities"), "host/uuid")
    if responses.has_smbios and host_uuid:
        return f"libvirt:{scope}:{host_uuid}"
    return f"libvirt:{scope}:{responses.hostname}:{responses.nwfilter_uuid or ''}"


def inactive_pools_of(responses: HostResponses) -> list[Element]:
    """Returns the XML of the pools that could hold guests' disks if they were started."""
    found = (parse(xml, "a storage pool") for xml in responses.inactive_pools)
    return [pool for pool in found if pool.get("type") in POOL_TYPES]


def pools_of(responses: HostResponses) -> tuple[list[Element], list[Problem]]:
    """Returns the XML of the active pools that can hold guests' disks, and the problems found."""
    found, problems = [], []
    for xml in responses.pools:
        pool = parse(xml, "a storage pool")
        if pool.get("type") not in POOL_TYPES:
            unused = reason_unused(pool.get("type", ""))
            problems.append(Problem(subject=f"storage pool {text_at(pool, 'name')}", message=unused))
            continue
        if bytes_at(pool, "capacity", unit="bytes") is None:
            problems.append(Problem(subject=text_at(pool, "name"), message="The storage pool reports no capacity."))
            continue
        found.append(pool)
    problems += [_inactive(text_at(pool, "name")) for pool in inactive_pools_of(responses)]
    if not found:
        problems.append(
            Problem(
                subject="storage",
                message=f"No machine can be composed: the host has no active storage pool of type "
                f"{', '.join(POOL_TYPES)}. Create one with virsh pool-define-as, pool-build and pool-start.",
            )
        )
    return found, problems


def _inactive(name: str) -> Problem:
    return Problem.of_pool(name, INACTIVE, f"On that host: virsh pool-start {name}")


def storage_pool(pool: Element, usage: Usage, *, storage_id: str = "", active: bool = True) -> StoragePool:
    """`usage` is that of the pool's storage, which other pools can share.

    The figures are those of libvirt's last pool refresh: requesting a refresh could stop a failing pool.
    """
    elsewhere = max(0, usage.allocated_bytes - usage.guests_bytes)
    return StoragePool(
        pool_id=text_at(pool, "uuid"),
        name=text_at(pool, "name"),
        type=pool.get("type", ""),
        path=text_at(pool, "target/path", "Unknown"),
        total_bytes=bytes_at(pool, "capacity", unit="bytes") or 0,
        used_elsewhere_bytes=-(-elsewhere // GIB) * GIB,
        status=POOL_AVAILABLE if active else INACTIVE,
        storage_id=storage_id,
    )


def _storage_pools(
    responses: HostResponses, pools: Iterable[Element], used_bytes: Mapping[str, int]
) -> Iterable[StoragePool]:
    """All storage pools of libvirt's test driver have the same size, and none has storage."""
    pools = tuple(pools)
    is_test = responses.uri.startswith("test:")
    known = storage_ids(pools, local_device if _is_local(responses.uri) else None)
    ids = {text_at(pool, "uuid"): text_at(pool, "uuid") for pool in pools} if is_test else known
    used = usages(pools, ids, used_bytes)
    for pool in pools:
        storage = ids[text_at(pool, "uuid")]
        yield storage_pool(pool, used[storage], storage_id="" if is_test else storage)
    for pool in inactive_pools_of(responses):
        yield storage_pool(pool, Usage(allocated_bytes=0, guests_bytes=0), active=False)


def _is_local(uri: str) -> bool:
    return urlsplit(uri).hostname is None


def numa_nodes(
    capabilities: str, memory_mib: int | None = None, *, online: Container[int] | None = None
) -> tuple[NumaNode, ...]:
    """Returns the NUMA nodes with their CPUs that are `online`; None: all that the capabilities list.

    `memory_mib`, if given, replaces the memory of a single cell with a more accurate figure.
    """
    cells = parse(capabilities, "its capabilities").findall("host/topology/cells/cell")
    return tuple(
        NumaNode(
            node_id=int(cell.get("id", "0")),
            core_ids=tuple(sorted(_cpus(cell, online))),
            memory_mib=memory_mib if memory_mib is not None and len(cells) == 1 else _mib_at(cell, "memory"),
            huge_pages=_huge_pages(cell),
            siblings=_siblings(cell, online),
        )
        for cell in cells
    )


def _cpus(cell: Element, online: Container[int] | None) -> Mapping[int, Element]:
    found = {int(cpu.get("id", "0")): cpu for cpu in cell.iterfind("cpus/cpu")}
    return {cpu_id: cpu for cpu_id, cpu in found.items() if online is None or cpu_id in online}


def _siblings(cell: Element, online: Container[int] | None) -> tuple[tuple[int, ...], ...]:
    """Groups the threads of a core. Not every libvirt reports siblings."""
    by_core: dict[str, list[int]] = {}
    for cpu_id, cpu in _cpus(cell, online).items():
        if cpu.get("siblings"):
            by_core.setdefault(cpu.get("siblings", ""), []).append(cpu_id)
    return tuple(sorted(tuple(sorted(ids)) for ids in by_core.values()))


def _mib_at(tree: Element, path: str) -> int:
    return mib_from_kib((bytes_at(tree, path, unit="KiB") or 0) // 1024)


def _huge_pages(cell: Element) -> tuple[HugePages, ...]:
    """Returns the page sizes above the smallest, which is the ordinary page size."""
    sizes = {
        int(pages.get("size", "0")) * _kib(pages.get("unit", "KiB")): int((pages.text or "0").strip() or 0)
        for pages in cell.iterfind("pages")
    }
    return tuple(HugePages(size_kib=size, total=sizes[size]) for size in sorted(sizes)[1:])


def _kib(unit: str) -> int:
    return {"KiB": 1, "MiB": 1024, "GiB": 1024 * 1024}.get(unit, 1)


def networks_of(responses: HostResponses) -> tuple[HostNetwork, ...]:
    """Returns libvirt's networks, QEMU's user-mode network (except for the test driver), and the server's
    interfaces.
    """
    managed = (_network(parse(xml, "a network"), active=active) for xml, active in responses.networks)
    found = sorted(managed, key=lambda network: network.name)
    bridges = {network.bridge or "" for network in found if network.type in _OWN_BRIDGES}
    if not responses.uri.startswith("test:"):
        found.append(HostNetwork(kind=NicKind.USER, name="user", dhcp=True))
    return (*found, *interfaces_of(responses.interfaces, responses.devices, bridges))


def _network(tree: Element, *, active: bool) -> HostNetwork:
    mode = attribute(tree, "forward", "mode") or ("isolated" if tree.find("forward") is None else "nat")
    own = [address for address in map(own_address, tree.iterfind("ip")) if address is not None]
    vlan = network_vlans(tree).of()
    return HostNetwork(
        kind=NicKind.NETWORK,
        name=text_at(tree, "name"),
        type=mode,
        attachable=mode not in _WHOLE_INTERFACES,
        active=active,
        bridge=attribute(tree, "bridge", "name") or None,
        dhcp=tree.find("ip/dhcp") is not None,
        cidrs=tuple(str(address.network) for address in own),
        vid=vlan.vid if vlan is not None else 0 if mode in _OWN_BRIDGES else None,
        mac_address=attribute(tree, "mac", "address").lower() or None,
        parent=attribute(tree, "forward", "dev") or None if mode not in _OWN_BRIDGES else None,
        addresses=tuple(map(str, own)),
        gateway=next((str(address.ip) for address in own if address.version == 4), None) if mode in _ROUTED else None,
        dhcp_ranges=tuple(_dhcp_ranges(tree)),
    )


def _dhcp_ranges(tree: Element) -> Iterable[str]:
    for found in tree.iterfind("ip/dhcp/range"):
        yield f"{found.get('start', '')}-{found.get('end', '')}"


def facts_of(
    responses: HostResponses,
    pools: Iterable[Element],
    used_bytes: Mapping[str, int],
    *,
    uefi_firmware: bool | None = None,
) -> HostFacts:
    """`used_bytes` maps a pool id to the disk space that guests' disks occupy.

    Omits GPUs: libvirt needs one call per PCI device to find them.
    """
    traits = traits_of(responses)
    _, node_memory_mib, cores, mhz, *_ = responses.node_info
    memory_mib = node_memory_mib if responses.memory_kib is None else mib_from_kib(responses.memory_kib)
    return HostFacts(
        server_identity=server_identity(responses),
        hypervisor_version=version_text(responses.lib_version),
        architecture=traits.architecture,
        cores=cores,
        memory_mib=memory_mib,
        cpu_speed_mhz=mhz or None,
        emulated=traits.emulated,
        numa_nodes=()
        if traits.domain_type == "test"
        else numa_nodes(responses.capabilities, memory_mib, online=responses.online_cpus),
        storage_pools=tuple(
            sorted(_storage_pools(responses, pools, used_bytes), key=lambda pool: (pool.name, pool.pool_id))
        ),
        networks=networks_of(responses),
        network_devices=network_devices(responses.devices),
        tags=("virtual",),
        uefi_firmware=uefi_firmware,
    )
