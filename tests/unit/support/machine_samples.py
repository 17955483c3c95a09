"""A machine, its guest, its placement and its operations, as the services return them."""

from __future__ import annotations

from uuid import UUID

from attrs import evolve

from common.words.operation_kinds import OperationKind
from regiond.exports.model import Export, ExportedDisk, ExportedNic, ExportState, MachineDescription
from regiond.hosts.model import GuestView
from regiond.machines.values.adoption import DetachedMachine, ForgottenMachine
from regiond.machines.values.devices import DeviceNicView, DeviceView
from regiond.machines.values.disks import DiskView, KeptDisk
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.states import MachineState
from regiond.operations.model import LogLine, Operation, OperationState
from regiond.placement.checks import Check, Failure
from regiond.placement.model import DiskPlacement, Evaluation, Placement
from tests.unit.support.api_samples import AT, POOL, ZONE

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
KEPT_DISK = KeptDisk(
    id=3,
    host_id=4,
    host_name="hv-01",
    storage_pool_id=8,
    storage_pool_name="images",
    storage_pool_key="6e0b1a52-0000-4b8e-9a5e-3d3a3a3a3a3a",
    volume="v7",
    size_bytes=5 * 10**9,
    tags=("ssd",),
    label="data",
    hostname="old-1",
    account_id=2,
    owner="ann",
    pool_id=POOL.id,
    pool_name=POOL.name,
    kept_at=AT,
    is_listed=True,
)
EXPORT = Export(
    id=8,
    name="web-1",
    state=ExportState.READY,
    account_id=2,
    owner="ann",
    machine="wdpx3n",
    operation_id=77,
    size_bytes=4,
    received_bytes=4,
    percent=100,
    sha256="3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7",
    error="",
    description=MachineDescription(
        hostname="web-1",
        architecture="amd64",
        cores=2,
        memory_mib=2048,
        disks=(ExportedDisk(title="root", file="disk-0.qcow2", size_bytes=8 * 10**9, file_bytes=512, sha256="0" * 64),),
        nics=(ExportedNic(name="eth0", mac_address="52:54:00:00:00:01", subnet="10.0.0.0/24"),),
    ),
    created_at=AT,
    expires_at=AT,
    store_id=None,
    file="8.tar",
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
        Evaluation(
            host_id=5,
            host_name="hv-02",
            failures=(Failure(Check.CORES, "needs 4 cores, 1 free (4 cores × ratio 1.0, 3 used)"),),
        ),
    ),
    summarized={"not enough free cores": 3},
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
LOG = (LogLine(at=AT, attempt=1, step="claim", message="claimed", details={"cores": 2}),)
