"""A VM host, its storage pools and its cluster, as the services return them."""

from __future__ import annotations

from attrs import evolve

from common.hardware import Gpu, NetworkDevice, NetworkPort
from common.hosts.capacity import Capacity, ResourceCapacity
from common.values import DriverType, HostNetwork, HugePages, NicKind, NumaNode, Profile
from regiond.clusters.model import ClusterPool, ClusterView
from regiond.hosts.model import Amounts, ComposeTarget, HostState, HostView, StoragePoolView
from regiond.ledger.model import HostCapacity
from tests.unit.support.api_samples import AT, POOL, ZONE

IMAGES_CAPACITY = ResourceCapacity(total=10**11, claimable=10**11, claimed=8 * 10**9, elsewhere=10**9, free=91 * 10**9)
IMAGES_POOL = StoragePoolView(
    id=1,
    pool_key="6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a",
    name="images",
    type="dir",
    path="/srv/images",
    total_bytes=10**11,
    used_bytes=8 * 10**9,
    claimed_bytes=9 * 10**9,
    used_elsewhere_bytes=0,
    is_default=True,
    capacity=IMAGES_CAPACITY,
)
HOST = HostView(
    id=4,
    name="hv-01",
    driver=DriverType.LIBVIRT,
    address="qemu:///system",
    project="",
    state=HostState.READY,
    zone=ZONE,
    pool=POOL,
    tags=("pod-console-logging", "virtual"),
    cpu_over_commit_ratio=1,
    memory_over_commit_ratio=2.5,
    default_macvlan_mode=None,
    system_id="k3xq7a",
    architecture="amd64",
    hypervisor_version="9.0.0",
    cpu_speed_mhz=2400,
    total=Amounts(cores=4, memory_mib=12288, storage_bytes=10**11),
    used=Amounts(cores=6, memory_mib=4096, storage_bytes=8 * 10**9),
    capacity=Capacity(
        cores=ResourceCapacity(total=4, claimable=4, claimed=3, elsewhere=1, free=0),
        memory_mib=ResourceCapacity(total=12288, claimable=30720, claimed=4096, elsewhere=512, free=26112),
        storage_bytes=IMAGES_CAPACITY,
        storage_pools={"images": IMAGES_CAPACITY},
        huge_pages={"1048576": ResourceCapacity(total=8, claimable=8, elsewhere=3, free=5)},
    ),
    storage_pools=(
        IMAGES_POOL,
        evolve(IMAGES_POOL, id=2, pool_key="removed", name="removed", is_default=False, missing_since=AT),
    ),
    networks=(
        HostNetwork(kind=NicKind.NETWORK, name="lan", type="bridge", bridge="lan", dhcp=True, cidrs=("10.1.0.0/24",)),
        HostNetwork(kind=NicKind.NETWORK, name="fast", type="sriov", attachable=False),
    ),
    profiles=(Profile(name="default", description="Default LXD profile"),),
    network_devices=(
        NetworkDevice(
            pci_address="0000:3b:00.0",
            vendor="Intel Corporation",
            vendor_id="8086",
            product="Ethernet Controller X710",
            product_id="1572",
            driver="i40e",
            numa_node=0,
            virtual_functions=64,
            virtual_functions_made=4,
            ports=(
                NetworkPort(name="ens1f0", mac_address="3c:fd:fe:00:00:01", link=True, speed_mbps=10000),
                NetworkPort(name="ens1f1"),
            ),
        ),
        NetworkDevice(usb_address="2:7"),
    ),
    gpus=(Gpu(pci_address="0000:86:00.0", vendor="NVIDIA Corporation", product="GA102GL [A40]", driver="nvidia"),),
    created_at=AT,
)
COUNTED = HostCapacity(host_id=4, server_id=1, state="ready", zone="default", pool="default", capacity=HOST.capacity)
NODES = (
    NumaNode(
        node_id=0,
        core_ids=(0, 1, 2, 3),
        memory_mib=32768,
        huge_pages=(HugePages(size_kib=2048, total=0), HugePages(size_kib=1024**2, total=8)),
        siblings=((0, 1), (2, 3)),
    ),
    NumaNode(node_id=1, core_ids=(4, 5, 6, 7), memory_mib=16384),
)
UNKNOWN_HOST = evolve(
    HOST,
    id=5,
    state=HostState.PENDING,
    total=None,
    architecture=None,
    hypervisor_version=None,
    storage_pools=(),
    networks=(),
    profiles=(),
    network_devices=(),
    gpus=(),
)
CLUSTER = ClusterView(
    id=1,
    name="cloud",
    project="default",
    zone=ZONE,
    pool=POOL,
    product="LXD",
    version="5.0.2",
    host_ids=(4, 5, 6),
    vm_count=2,
    total=Amounts(cores=96, memory_mib=386219, storage_bytes=3000),
    used=Amounts(cores=18, memory_mib=36864, storage_bytes=1500),
    storage_pools={"default": ClusterPool(total_bytes=3000, tracked_bytes=1000, other_bytes=500, backend="zfs")},
)


def compose_target(host: HostView) -> ComposeTarget:
    """Returns what a compose reads of the host."""
    return ComposeTarget(
        id=host.id,
        name=host.name,
        pool=host.pool,
        architecture=host.architecture,
        cores=None if host.total is None else host.total.cores,
        memory_mib=None if host.total is None else host.total.memory_mib,
        cpu_speed_mhz=host.cpu_speed_mhz,
        storage_pool_names=tuple(pool.name for pool in host.storage_pools),
    )
