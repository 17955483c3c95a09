"""One object of each kind that the API shows (a host, a machine, an operation, …), as the services return it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from attrs import evolve

from common.capacity import Capacity, ResourceCapacity
from common.hardware import Gpu, NetworkDevice, NetworkPort
from common.values import DriverType, HostNetwork, HugePages, NicKind, NumaNode, Profile
from regiond.accounts.model import Grant, SessionView, SshKey, User
from regiond.audit.model import AuditAnswer, AuditEntry, AuditRequest, AuditResult, ChainReport, RawEntry
from regiond.caller import Caller, PoolRole
from regiond.clusters.model import ClusterPool, ClusterView
from regiond.events.model import Event, Level
from regiond.files.model import FileWithContent, StoredFile
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import Amounts, GuestView, HostState, HostView, StoragePoolView
from regiond.images.model import Image, ImageState
from regiond.ledger.model import HostCapacity
from regiond.machines.model import (
    DetachedMachine,
    DeviceNicView,
    DeviceView,
    DiskView,
    ForgottenMachine,
    MachineState,
    MachineView,
    NicView,
)
from regiond.operations.model import LogLine, Operation, OperationKind, OperationState
from regiond.placement.model import DiskPlacement, Evaluation, Placement
from regiond.quotas.model import Holdings, Limits, Quota
from regiond.racks.model import HostReach, RackRegion, RackView, RegionView, RpcClientView
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, OpenDiscrepancy
from regiond.tags.model import Tag

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
ZONE = Zone(id=1, name="default", description="")
POOL = ResourcePool(id=0, name="default", description="Default pool")
TAG = Tag(name="virtual", comment="Virtual machines")
ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(
    account_id=2, username="ann", email="ann@example.com", is_admin=False, grants={POOL.id: PoolRole.OPERATOR}
)
GRANT = Grant(username="ann", pool_id=0, pool="default", role=PoolRole.OPERATOR, granted_at=AT, granted_by="admin")
QUOTA = Quota(id=1, account_id=2, username="ann", limits=Limits(machines=10), used=Holdings(machines=3, cores=6))
ADMIN_ACCOUNT = User(id=1, username="admin", is_admin=True, has_password=True, created_at=AT)
ACCOUNT = User(id=2, username="ann", email="ann@example.com", is_admin=False, has_password=True, created_at=AT)
FILE = StoredFile(filename="provider-state", key="0f1e2d3c", size_bytes=5, updated_at=AT)
FILE_CONTENT = FileWithContent(file=FILE, content=b"juju\xff")
SSH_KEY = SshKey(id=9, key="ssh-ed25519 AAAA ann@laptop", fingerprint="SHA256:abc", created_at=AT)
IMAGE = Image(
    id=1000,
    name="ubuntu/noble",
    title="Noble",
    architecture="amd64",
    subarch="generic",
    filetype="qcow2",
    format=None,
    sha256="ab" * 32,
    size_bytes=8_000_000,
    virtual_size_bytes=None,
    received_bytes=4_000_000,
    state=ImageState.UPLOADING,
    error=None,
    account_id=1,
    created_at=AT,
    updated_at=AT,
    expires_at=AT,
    store_id=UUID(int=7),
)
RACK_ID = "7d1f9a52-5d1c-4b8e-9a5e-3d3a3a3a3a3a"

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
MACHINE = MachineView(
    id=9,
    uuid=UUID("11111111-2222-4333-8444-555555555555"),
    system_id="wdpx3n",
    hostname="quick-fox",
    state=MachineState.READY,
    power_state="paused",
    architecture="amd64",
    cores=2,
    memory_mib=4096,
    tags=("virtual",),
    pool=POOL,
    zone=ZONE,
    owner="ann",
    description="",
    host_id=4,
    host_name="hv-01",
    host_system_id="k3xq7a",
    driver="virsh",
    guest_id=17,
    disks=(
        DiskView(
            id=31,
            index=0,
            volume="v0",
            storage_pool_name="images",
            storage_pool_key="6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a",
            size_bytes=5 * 10**9,
            serial="abc0",
            tags=(),
        ),
    ),
    nics=(NicView(id=41, index=0, name="eth0", mac_address="52:54:00:00:00:01", kind="network", source="default"),),
    created_at=AT,
)
DEVICE = DeviceView(
    id=3,
    system_id="dev123",
    hostname="box",
    description="",
    parent="wdpx3n",
    parent_id=9,
    owner="ann",
    zone=ZONE,
    pool=POOL,
    created_at=AT,
    nics=(DeviceNicView(id=51, name="eth0", mac_address="52:54:00:00:00:20"),),
)
GUEST = GuestView(
    id=17,
    host_id=4,
    host_name="hv-01",
    name="quick-fox",
    project="",
    machine_id=9,
    system_id="wdpx3n",
    hostname="quick-fox",
    power_state="on",
    cores=2,
    memory_mib=4096,
    pinned_core_ids=(),
    huge_pages_backed=False,
)
OPERATION = Operation(
    id=77,
    kind=OperationKind.COMPOSE,
    state=OperationState.SUCCEEDED,
    host_id=4,
    host_name="hv-01",
    machine_id=9,
    system_id="wdpx3n",
    hostname="quick-fox",
    parent_id=None,
    account_id=1,
    username="admin",
    created_at=AT,
)
RUNNING = evolve(OPERATION, state=OperationState.RUNNING)
FAILED = evolve(
    OPERATION,
    state=OperationState.FAILED,
    error_code="out_of_capacity",
    error_message="needs 4 cores, 1 of 4 free",
    error_details={"required": 4},
)
PLACEMENT = Placement(
    ranked=(
        Evaluation(
            host_id=4,
            host_name="hv-01",
            score=0.5,
            disks=(
                DiskPlacement(
                    label="root", size_bytes=8 * 10**9, tags=("local",), storage_pool_id=1, storage_pool="images"
                ),
            ),
        ),
    ),
    rejected=(
        Evaluation(host_id=5, host_name="hv-02", reasons=("needs 4 cores, 1 free (4 cores × ratio 1.0, 3 used)",)),
    ),
    summarized={"not enough cores free": 3},
)
CLUSTER = ClusterView(
    id=1,
    name="cloud",
    project="default",
    zone=ZONE,
    pool=POOL,
    version="5.0.2",
    host_ids=(4, 5, 6),
    vm_count=2,
    total=Amounts(cores=96, memory_mib=386219, storage_bytes=3000),
    used=Amounts(cores=18, memory_mib=36864, storage_bytes=1500),
    storage_pools={"default": ClusterPool(total_bytes=3000, tracked_bytes=1000, other_bytes=500, backend="zfs")},
)
DETACHED = DetachedMachine(
    uuid=MACHINE.uuid,
    system_id="wdpx3n",
    hostname="quick-fox",
    adopted=True,
    host_name="hv-01",
    driver="virsh",
    address="qemu:///system",
    project="",
    pool="default",
    zone="default",
    owner=None,
    architecture="amd64",
    cores=2,
    memory_mib=4096,
    tags=("virtual",),
    disks=({"volume": "v0", "pool_name": "images", "size_bytes": 5 * 10**9},),
    nics=({"name": "eth0", "mac_address": "52:54:00:00:00:01"},),
    detached_at=AT,
)
FORGOTTEN = ForgottenMachine(
    system_id="wdpx3n",
    hostname="web-1",
    host_name="hv-01",
    guest_name="Web_1",
    guest_id=17,
    forgotten_at=AT,
    username="admin",
)
SESSION = SessionView(
    id=12, username="admin", created_at=AT, last_seen_at=AT, ends_at=AT, address="192.0.2.1", user_agent="Firefox"
)
RPC_CLIENT = RpcClientView(
    id=UUID("0b7b1c64-0000-4000-8000-000000000009"),
    name="east",
    username="admin",
    certificate_fingerprint="ab" * 32,
    certificate_expires_at=AT,
    issued_at=AT,
)
RACK = RackView(
    id=UUID(RACK_ID),
    name="rack-1",
    connected=True,
    joined_at=AT,
    seen_at=AT,
    certificate_fingerprint="sha256:aa",
    certificate_expires_at=AT,
    hosts_reached=1,
    hosts_unreached=1,
    release="0.1.0",
    age_s=90,
    regions=(RackRegion(id=UUID("0b7b1c64-0000-4000-8000-00000000000a"), hostname="r1", connected_at=AT),),
    hosts=(
        HostReach(
            host_id=5,
            host="hv-02",
            reaches=False,
            error_code="host_unreachable",
            error_message="no route to host",
            since=AT,
        ),
    ),
)
REGION = RegionView(
    id=UUID("0b7b1c64-0000-4000-8000-00000000000a"),
    hostname="r1",
    pid=100,
    running=True,
    here=True,
    started_at=AT,
    seen_at=AT,
    age_s=3600,
    silent_s=4,
    release="0.1.0",
    schema_number=6,
    rpc_address="r1:5241",
    api_url="http://r1:5240",
    racks=("rack-1",),
    operations=(77,),
)
AUDIT_ENTRY = AuditEntry(
    id=41,
    at=AT,
    answered_at=AT,
    request=AuditRequest(
        action="Machine.power_on",
        username="admin",
        credential="API key admintoken",
        address="192.0.2.7",
        request_id="r1",
        object="machines/wdpx3n",
        object_name="web-1",
        fields={"comment": "night shift"},
    ),
    answer=AuditAnswer(result=AuditResult.OK, status=200, operation_id=7),
)
RAW_ENTRY = RawEntry(id=41, at=AT, content='{"action":"Machine.power_on"}', previous_hash=bytes(32), hash=bytes(32))
CHAIN_REPORT = ChainReport(first_id=1, head_id=41, head_hash=bytes(32), problems=())
EVENT = Event(
    id=9,
    at=AT,
    kind="host_pinned",
    level=Level.INFO,
    message="hv-01 is trusted",
    host_id=4,
    details={"fingerprint": "ab"},
)
OPEN_DISCREPANCY = OpenDiscrepancy(
    id=3,
    discrepancy=Discrepancy(
        kind=DiscrepancyKind.MACHINE_MISSING,
        key="machine 12",
        name="quick-fox",
        host_id=4,
        host_name="hv-01",
        system_id="wdpx3n",
        found="no guest",
        expected="a guest",
        remedy="Restore the guest.",
        ours=False,
        data_at_risk=True,
        since=AT,
    ),
    first_seen_at=AT,
    last_seen_at=AT,
)
REPAIRED_DISCREPANCY = evolve(
    OPEN_DISCREPANCY, sweeps=2, repaired_at=AT, repaired="the guest was missing and has returned"
)
LOG = (LogLine(at=AT, attempt=1, step="claim", message="claimed", details={"cores": 2}),)
