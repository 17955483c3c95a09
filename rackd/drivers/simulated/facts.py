"""Derives a simulated host's facts from its address alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from common.addresses.simulated import SimulatedAddress
from common.hardware import NetworkDevice, NetworkPort
from common.units import BYTES_PER_GB
from common.values import POOL_AVAILABLE, HostFacts, HostNetwork, HugePages, NicKind, NumaNode, StoragePool

ARCHITECTURE = "amd64"
VERSION = "1.0"
UNAVAILABLE = "unavailable"
DEFAULT_CIDR = "192.168.122.0/24"

_GIB = 1024**3
_MIN_SERVED_SIZE = 8  # addresses; on a smaller network the host has no address, so there is no gateway or DHCP


def pool_names(address: SimulatedAddress) -> tuple[str, ...]:
    return tuple(pool.name for pool in address.storage_pools)


def unavailable_pools(address: SimulatedAddress) -> tuple[str, ...]:
    return tuple(pool.name for pool in address.storage_pools if pool.unavailable)


def pool_total_bytes(address: SimulatedAddress, name: str) -> int:
    """Returns 0 for an unknown pool."""
    return sum(pool.size_gb for pool in address.storage_pools if pool.name == name) * BYTES_PER_GB


def facts_of(address: SimulatedAddress, unattached_bytes: Mapping[str, int]) -> HostFacts:
    """`unattached_bytes` has per pool the size of volumes that belong to no guest and no machine."""
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
                pool_id=pool.name,
                name=pool.name,
                type="dir",
                path=f"/simulated/{address.name}/{pool.name}",
                total_bytes=pool_total_bytes(address, pool.name),
                used_elsewhere_bytes=-(-unattached_bytes.get(pool.name, 0) // _GIB) * _GIB,
                status=UNAVAILABLE if pool.unavailable else POOL_AVAILABLE,
            )
            for pool in address.storage_pools
        ),
        networks=host_networks(address),
        network_devices=_network_devices(address),
        tags=("simulated",),
        uefi_firmware=True,
    )


def _numa_nodes(address: SimulatedAddress) -> tuple[NumaNode, ...]:
    nodes = []
    first = 0
    spread = zip(address.cores_of_nodes, address.memory_mib_of_nodes, address.huge_pages_of_nodes, strict=True)
    for node_id, (cores, memory_mib, pages) in enumerate(spread):
        ids = tuple(range(first, first + cores))
        nodes.append(
            NumaNode(
                node_id=node_id,
                core_ids=ids,
                memory_mib=memory_mib,
                huge_pages=_huge_pages(address, pages),
                siblings=tuple(zip(*[iter(ids)] * address.threads_per_core, strict=True)),
            )
        )
        first += cores
    return tuple(nodes)


def _huge_pages(address: SimulatedAddress, pages: int) -> tuple[HugePages, ...]:
    return (HugePages(size_kib=address.hugepage_size_mib * 1024, total=pages),) if address.hugepages_mib else ()


def _network_devices(address: SimulatedAddress) -> tuple[NetworkDevice, ...]:
    """Assigns the devices to the NUMA nodes in turn."""
    name = hashlib.sha256(address.name.encode()).hexdigest()
    start = ":".join(("02", *(name[at : at + 2] for at in (0, 2, 4, 6))))
    return tuple(
        NetworkDevice(
            pci_address=f"0000:{0x10 + number:02x}:00.0",
            vendor="Innkeeper",
            product="Simulated Ethernet",
            driver="simulated",
            numa_node=number % address.numa_nodes,
            virtual_functions=address.virtual_functions.functions,
            ports=(NetworkPort(name=f"sim{number}", mac_address=f"{start}:{number:02x}", link=True, speed_mbps=25000),),
        )
        for number in range(address.virtual_functions.interfaces)
    )


def host_networks(address: SimulatedAddress) -> tuple[HostNetwork, ...]:
    """Returns the managed networks, on each of which the host has an address, and the ports of its network devices."""
    return *_managed_networks(address), *_ports(address)


def _managed_networks(address: SimulatedAddress) -> tuple[HostNetwork, ...]:
    default = HostNetwork(
        kind=NicKind.NETWORK, name="default", bridge="virbr0", dhcp=True, cidrs=(DEFAULT_CIDR,), **_served(DEFAULT_CIDR)
    )
    return tuple(
        HostNetwork(
            kind=NicKind.NETWORK,
            name=network.name,
            type="bridge",
            bridge=network.name,
            dhcp=True,
            cidrs=(network.cidr,),
            vid=network.vid,
            **_served(network.cidr),
        )
        for network in address.networks
    ) or (default,)


def _ports(address: SimulatedAddress) -> tuple[HostNetwork, ...]:
    """Connects the ports to the networks in turn, without an address of the host."""
    return tuple(
        HostNetwork(
            kind=NicKind.MACVLAN,
            name=port.name,
            type="physical",
            mac_address=port.mac_address,
            speed_mbps=port.speed_mbps,
            virtual_functions=device.virtual_functions,
            **_connection(address, number),
        )
        for number, device in enumerate(_network_devices(address))
        for port in device.ports
    )


def _connection(address: SimulatedAddress, number: int) -> Mapping[str, Any]:
    """Returns the subnet and VLAN of the network to which the port with this number is connected."""
    if not address.networks:
        return {}
    network = address.networks[number % len(address.networks)]
    return {"cidrs": (network.cidr,), "vid": network.vid}


def _served(cidr: str) -> Mapping[str, Any]:
    """Returns what the host provides: the first address, as gateway, and DHCP for the upper half of the addresses."""
    network = ip_network(cidr)
    if network.num_addresses < _MIN_SERVED_SIZE:
        return {}
    first = network.network_address + 1
    middle = network.network_address + network.num_addresses // 2
    last = network.broadcast_address - (1 if network.version == 4 else 0)  # IPv6 has no broadcast address
    return {
        "addresses": (f"{first}/{network.prefixlen}",),
        "gateway": str(first),
        "dhcp_ranges": (f"{middle}-{last}",),
    }
