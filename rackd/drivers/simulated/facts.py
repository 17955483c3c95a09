"""What the hardware of a simulated host looks like, from its address alone."""

from __future__ import annotations

from collections.abc import Mapping

from common.simulated_address import SimulatedAddress
from common.units import BYTES_PER_GB
from common.values import HostFacts, HostNetwork, NicKind, NumaNode, StoragePool

ARCHITECTURE = "amd64"
VERSION = "1.0"
POOL_NAMES = ("default", "fast")

_GIB = 1024**3


def pool_names(address: SimulatedAddress) -> tuple[str, ...]:
    return POOL_NAMES[: address.pools]


def pool_total_bytes(address: SimulatedAddress) -> int:
    return address.storage_gb * BYTES_PER_GB


def facts_of(address: SimulatedAddress, unattached_bytes: Mapping[str, int]) -> HostFacts:
    """`unattached_bytes`: per pool, the volumes that belong to no guest and to no machine of anybody's."""
    return HostFacts(
        server_identity=address.identity,
        hypervisor_version=VERSION,
        architecture=ARCHITECTURE,
        cores=address.cores,
        memory_mib=address.memory_mib,
        cpu_speed_mhz=2000,
        emulated=True,
        numa_nodes=_numa_nodes(address),
        storage_pools=tuple(
            StoragePool(
                pool_id=name,
                name=name,
                type="dir",
                path=f"/simulated/{address.name}/{name}",
                total_bytes=pool_total_bytes(address),
                used_elsewhere_bytes=-(-unattached_bytes.get(name, 0) // _GIB) * _GIB,
            )
            for name in pool_names(address)
        ),
        networks=(
            HostNetwork(kind=NicKind.NETWORK, name="default", bridge="virbr0", dhcp=True, cidrs=("192.168.122.0/24",)),
        ),
        tags=("simulated",),
    )


def _numa_nodes(address: SimulatedAddress) -> tuple[NumaNode, ...]:
    """Cores and memory split evenly; the first nodes take what is left over, so that the sums are exact."""
    nodes = []
    first_core = 0
    for index in range(address.numa_nodes):
        cores = _share(address.cores, address.numa_nodes, index)
        memory_mib = _share(address.memory_mib, address.numa_nodes, index)
        nodes.append(
            NumaNode(node_id=index, core_ids=tuple(range(first_core, first_core + cores)), memory_mib=memory_mib)
        )
        first_core += cores
    return tuple(nodes)


def _share(total: int, parts: int, index: int) -> int:
    return total // parts + (1 if index < total % parts else 0)
