"""What a libvirt host said of itself becomes HostFacts. Pure: XML and numbers in, values out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from attrs import frozen

from common.discovery import Problem
from common.units import mib_from_kib
from common.values import HostFacts, HostNetwork, HugePages, NicKind, NumaNode, StoragePool
from rackd.drivers.libvirt.addresses import own_address
from rackd.drivers.libvirt.client import HostAnswers
from rackd.drivers.libvirt.devices import network_cards
from rackd.drivers.libvirt.interfaces import interfaces_of
from rackd.drivers.libvirt.trees import Element, attribute, bytes_at, parse, text_at

GIB = 1024**3
_OWN_BRIDGES = ("nat", "route", "open", "isolated")  # networks on a bridge that libvirt makes for them
_ROUTED = ("nat", "route", "open")  # through the host itself
_WHOLE_INTERFACES = ("hostdev", "passthrough")  # networks that give each guest an interface of the server for itself
POOL_TYPES = ("dir", "logical", "zfs")  # those in which a disk of a guest is a file or device that QEMU opens as it is
DEBIAN_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "i686": "i386",
    "i386": "i386",
    "armv7l": "armhf",
    "riscv64": "riscv64",
}
_X86 = {"x86_64", "i686", "i386"}
_X86_VIRTUALIZATION = {"vmx", "svm"}


@frozen(kw_only=True)
class HostTraits:
    """What a guest's definition depends on. `kernel_architecture` is libvirt's word, `architecture` Debian's."""

    kernel_architecture: str
    architecture: str
    domain_type: str  # kvm, qemu or test
    privileged: bool  # the system's libvirt, not a user's own

    @property
    def emulated(self) -> bool:
        return self.domain_type != "kvm"


def version_text(number: int) -> str:
    """libvirt's 9000002 as `9.0.2`."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def traits_of(answers: HostAnswers) -> HostTraits:
    kernel_architecture = str(answers.node_info[0])
    domain_type = "test" if answers.uri.startswith("test:") else _domain_type(answers, kernel_architecture)
    return HostTraits(
        kernel_architecture=kernel_architecture,
        architecture=DEBIAN_ARCHITECTURES.get(kernel_architecture, kernel_architecture),
        domain_type=domain_type,
        privileged=answers.uri.endswith("/system"),
    )


def _domain_type(answers: HostAnswers, kernel_architecture: str) -> str:
    """`kvm` where the host offers it and its processor backs it.

    A kernel may offer /dev/kvm on an x86 processor without virtualization of its own (a paravirtual KVM inside a
    virtual machine): guests with the host's processor then die at start, so that host emulates. Where the
    processor cannot be read, the offer counts.
    """
    tree = parse(answers.capabilities, "its capabilities")
    offered = {
        domain.get("type")
        for arch in tree.iterfind("guest/arch")
        if arch.get("name") == kernel_architecture
        for domain in arch.iterfind("domain")
    }
    if "kvm" not in offered:
        return "qemu"
    if kernel_architecture not in _X86 or answers.expanded_cpu is None:
        return "kvm"
    features = {found.get("name") for found in tree.iterfind("host/cpu/feature")}
    features |= {found.get("name") for found in parse(answers.expanded_cpu, "its processor").iterfind("feature")}
    return "kvm" if features & _X86_VIRTUALIZATION else "qemu"


def server_identity(answers: HostAnswers) -> str:
    """The same text for every address of this libvirt, also after it restarted.

    Without SMBIOS, libvirt makes up a new host id whenever it starts; then the host's name and the id of a filter that
    libvirt keeps on disk stand in for it. A user's own libvirt is another one than the system's.
    """
    if answers.uri.startswith("test:"):
        return f"libvirt:{answers.uri}"
    scope = f"session:{os.getuid()}" if answers.uri.endswith("/session") else "system"
    host_uuid = text_at(parse(answers.capabilities, "its capabilities"), "host/uuid")
    if answers.has_smbios and host_uuid:
        return f"libvirt:{scope}:{host_uuid}"
    return f"libvirt:{scope}:{answers.hostname}:{answers.nwfilter_uuid or ''}"


def pools_of(answers: HostAnswers) -> tuple[list[Element], list[Problem]]:
    """The trees of the pools that can hold guests' disks, and what could not be read."""
    found, problems = [], []
    for xml in answers.pools:
        pool = parse(xml, "a storage pool")
        if pool.get("type") not in POOL_TYPES:
            continue
        if bytes_at(pool, "capacity", unit="bytes") is None:
            problems.append(Problem(subject=text_at(pool, "name"), message="The storage pool tells no capacity."))
            continue
        found.append(pool)
    if not found:
        problems.append(
            Problem(
                subject="storage",
                message=f"There is no active storage pool of type {', '.join(POOL_TYPES)}: machines cannot be composed "
                "until there is one (virsh pool-define-as, pool-build, pool-start).",
            )
        )
    return found, problems


def storage_pool(pool: Element, used_by_guests_bytes: int) -> StoragePool:
    """`used_by_guests_bytes` is what the disks of guests really take in this pool.

    The figures are those of libvirt's last look at the pool: asking it to look again could stop a pool that fails.
    """
    allocation = bytes_at(pool, "allocation", unit="bytes") or 0
    elsewhere = max(0, allocation - used_by_guests_bytes)
    return StoragePool(
        pool_id=text_at(pool, "uuid"),
        name=text_at(pool, "name"),
        type=pool.get("type", ""),
        path=text_at(pool, "target/path", "Unknown"),
        total_bytes=bytes_at(pool, "capacity", unit="bytes") or 0,
        used_elsewhere_bytes=-(-elsewhere // GIB) * GIB,
    )


def numa_nodes(capabilities: str, memory_mib: int | None = None) -> tuple[NumaNode, ...]:
    """A single cell has all of the host's memory, `memory_mib`, where that is known better."""
    cells = parse(capabilities, "its capabilities").findall("host/topology/cells/cell")
    return tuple(
        NumaNode(
            node_id=int(cell.get("id", "0")),
            core_ids=tuple(sorted(int(cpu.get("id", "0")) for cpu in cell.iterfind("cpus/cpu"))),
            memory_mib=memory_mib if memory_mib is not None and len(cells) == 1 else _mib_at(cell, "memory"),
            huge_pages=_huge_pages(cell),
            siblings=_siblings(cell),
        )
        for cell in cells
    )


def _siblings(cell: Element) -> tuple[tuple[int, ...], ...]:
    """Threads of one core name the same siblings. None are told of a CPU that is offline."""
    by_core: dict[str, list[int]] = {}
    for cpu in cell.iterfind("cpus/cpu"):
        if cpu.get("siblings"):
            by_core.setdefault(cpu.get("siblings", ""), []).append(int(cpu.get("id", "0")))
    return tuple(sorted(tuple(sorted(ids)) for ids in by_core.values()))


def _mib_at(tree: Element, path: str) -> int:
    return mib_from_kib((bytes_at(tree, path, unit="KiB") or 0) // 1024)


def _huge_pages(cell: Element) -> tuple[HugePages, ...]:
    """The pages of the sizes above the smallest, which is the system's own."""
    sizes = {
        int(pages.get("size", "0")) * _kib(pages.get("unit", "KiB")): int((pages.text or "0").strip() or 0)
        for pages in cell.iterfind("pages")
    }
    return tuple(HugePages(size_kib=size, total=sizes[size]) for size in sorted(sizes)[1:])


def _kib(unit: str) -> int:
    return {"KiB": 1, "MiB": 1024, "GiB": 1024 * 1024}.get(unit, 1)


def networks_of(answers: HostAnswers) -> tuple[HostNetwork, ...]:
    """The networks that libvirt manages, QEMU's own user-mode network, which every QEMU host has, and interfaces."""
    managed = (_network(parse(xml, "a network"), active=active) for xml, active in answers.networks)
    found = sorted(managed, key=lambda network: network.name)
    bridges = {network.bridge or "" for network in found if network.type in _OWN_BRIDGES}
    if not answers.uri.startswith("test:"):
        found.append(HostNetwork(kind=NicKind.USER, name="user", dhcp=True))
    return (*found, *interfaces_of(answers.interfaces, answers.devices, bridges))


def _network(tree: Element, *, active: bool) -> HostNetwork:
    mode = attribute(tree, "forward", "mode") or ("isolated" if tree.find("forward") is None else "nat")
    own = [address for address in map(own_address, tree.iterfind("ip")) if address is not None]
    tag = attribute(tree, "vlan/tag", "id")
    return HostNetwork(
        kind=NicKind.NETWORK,
        name=text_at(tree, "name"),
        type=mode,
        attachable=mode not in _WHOLE_INTERFACES,
        active=active,
        bridge=attribute(tree, "bridge", "name") or None,
        dhcp=tree.find("ip/dhcp") is not None,
        cidrs=tuple(str(address.network) for address in own),
        vid=int(tag) if tag.isdigit() else 0 if mode in _OWN_BRIDGES else None,
        mac_address=attribute(tree, "mac", "address").lower() or None,
        parent=attribute(tree, "forward", "dev") or None if mode not in _OWN_BRIDGES else None,
        addresses=tuple(map(str, own)),
        gateway=next((str(address.ip) for address in own if address.version == 4), None) if mode in _ROUTED else None,
        dhcp_ranges=tuple(_dhcp_ranges(tree)),
    )


def _dhcp_ranges(tree: Element) -> Iterable[str]:
    for found in tree.iterfind("ip/dhcp/range"):
        yield f"{found.get('start', '')}-{found.get('end', '')}"


def facts_of(answers: HostAnswers, pools: Iterable[Element], used_bytes: Mapping[str, int]) -> HostFacts:
    """`used_bytes` maps a pool's id to what guests' disks really take in it.

    GPUs are left out: libvirt would tell of them in one call for each PCI device of the server.
    """
    traits = traits_of(answers)
    _, node_memory_mib, cores, mhz, *_ = answers.node_info
    memory_mib = node_memory_mib if answers.memory_kib is None else mib_from_kib(answers.memory_kib)
    return HostFacts(
        server_identity=server_identity(answers),
        hypervisor_version=version_text(answers.lib_version),
        architecture=traits.architecture,
        cores=cores,
        memory_mib=memory_mib,
        cpu_speed_mhz=mhz or None,
        emulated=traits.emulated,
        numa_nodes=() if traits.domain_type == "test" else numa_nodes(answers.capabilities, memory_mib),
        storage_pools=tuple(
            sorted(
                (storage_pool(pool, used_bytes.get(text_at(pool, "uuid"), 0)) for pool in pools),
                key=lambda pool: (pool.name, pool.pool_id),
            )
        ),
        networks=networks_of(answers),
        network_cards=network_cards(answers.devices),
        tags=("virtual",),
    )
