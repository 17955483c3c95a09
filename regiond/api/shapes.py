"""What answers look like: key sets and types that clients decode strictly. OpenAPI shows them.

Machines and what is in them are in `regiond.api.machine_shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.schemas import ANYTHING, BOOL, INT, MOMENT, NUMBER, STR, Schema, array, mapping, maybe, record
from regiond.events.model import Level
from regiond.hosts.model import HostState
from regiond.reconciler.model import By, Kind

ZONE = record("Zone", id=INT, name=STR, description=STR, resource_uri=STR)
POOL = record("ResourcePool", id=INT, name=STR, description=STR, resource_uri=STR)
WHOLE_POOL = record("WholeResourcePool", id=INT, name=STR, description=STR, resource_uri=STR, strategy=STR)
USER = record("User", username=STR, email=STR, is_superuser=BOOL, is_local=BOOL, resource_uri=STR)
API_KEY = record("ApiKey", name=STR, consumer_key=STR, token_key=STR)
NEW_API_KEY = record("NewApiKey", name=STR, consumer_key=STR, token_key=STR, token_secret=STR)
AMOUNTS = record("Amounts", cores=INT, memory=INT, local_storage=INT)
STORAGE_POOL = record(
    "StoragePool", id=STR, name=STR, type=STR, path=STR, total=INT, used=INT, available=INT, default=BOOL
)
PROJECT = record("Project", name=STR, description=STR, guests=INT, used=AMOUNTS)
HOST_MACHINE = record("HostMachine", system_id=maybe(STR), __incomplete__=BOOL)
_CLUSTER_AMOUNTS = record("ClusterAmounts", cores=INT, memory=INT, local_storage=INT)
VM_CLUSTER = record(
    "VmCluster",
    id=INT,
    name=STR,
    project=STR,
    vmhost_count=INT,
    vm_count=INT,
    version=STR,
    total=_CLUSTER_AMOUNTS,
    used=_CLUSTER_AMOUNTS,
    available=_CLUSTER_AMOUNTS,
    storage_pools=mapping(
        record(
            "ClusterStoragePool",
            free=INT,
            total=INT,
            allocated_tracked=INT,
            allocated_other=INT,
            path=STR,
            backend=STR,
        )
    ),
    resource_uri=STR,
)
HOST_NETWORK = record(
    "HostNetwork",
    name=STR,
    type=STR,
    attach_type=STR,
    attachable=BOOL,
    active=BOOL,
    dhcp=BOOL,
    cidrs=array(STR),
    vid=maybe(INT),
)
NETWORK_PORT = record("NetworkPort", name=STR, mac_address=maybe(STR), link_connected=BOOL, link_speed=maybe(INT))
_CARD: Mapping[str, Schema] = {
    "pci_address": maybe(STR),
    "usb_address": maybe(STR),
    "vendor": STR,
    "vendor_id": STR,
    "product": STR,
    "product_id": STR,
    "driver": STR,
    "numa_node": maybe(INT),
    "virtual_functions": INT,
    "virtual_functions_made": INT,
}
NETWORK_CARD = record("NetworkCard", **_CARD, ports=array(NETWORK_PORT))
GPU = record("Gpu", **_CARD)
SHARE: Mapping[str, Schema] = {"total": INT, "used_by_ours": INT, "used_by_others": INT, "free": INT}
_CORE_IDS = array(INT)
NUMA_NODE = record(
    "NumaNode",
    node_id=INT,
    cores=record(
        "NumaCores",
        total=_CORE_IDS,
        used_by_ours=_CORE_IDS,
        used_by_others=_CORE_IDS,
        free=_CORE_IDS,
        siblings=array(_CORE_IDS),
    ),
    memory=record(
        "NumaMemory",
        total=INT,
        general=record("NumaGeneralMemory", **SHARE),
        hugepages=array(record("NumaHugePages", page_size=INT, **SHARE)),
    ),
    network_cards=array(
        record(
            "NumaNetworkCard",
            pci_address=maybe(STR),
            product=STR,
            ports=array(STR),
            virtual_functions=record("NumaVirtualFunctions", **SHARE),
        )
    ),
    virtual_machines=array(INT),
)
PROFILE = record("Profile", name=STR, description=STR)
VM_HOST = record(
    "VmHost",
    id=INT,
    name=STR,
    tags=array(STR),
    type=STR,
    architectures=array(STR),
    capabilities=array(STR),
    total=AMOUNTS,
    used=AMOUNTS,
    available=AMOUNTS,
    zone=ZONE,
    cpu_over_commit_ratio=NUMBER,
    memory_over_commit_ratio=NUMBER,
    storage_pools=array(STORAGE_POOL),
    pool=POOL,
    host=HOST_MACHINE,
    default_macvlan_mode=maybe(STR),
    version=STR,
    networks=array(HOST_NETWORK),
    network_cards=array(NETWORK_CARD),
    gpus=array(GPU),
    profiles=array(PROFILE),
    resource_uri=STR,
    state={"type": "string", "enum": [state.value for state in HostState]},
    error=maybe(record("HostError", code=STR, message=STR)),
    problems=array(record("HostProblem", subject=STR, message=STR)),
    refreshed_at=maybe(MOMENT),
    project=STR,
    cluster=maybe(INT),
    reserved_cores=INT,
    reserved_memory=INT,
)
VIRTUAL_MACHINE = record(
    "VirtualMachine",
    id=INT,
    identifier=STR,
    project=STR,
    pinned_cores=array(INT),
    unpinned_cores=INT,
    memory=INT,
    hugepages_backed=BOOL,
    machine_id=maybe(INT),
    bmc_id=INT,
    resource_uri=STR,
)
PLACEMENT = record(
    "Placement",
    chosen=maybe(STR),
    chosen_id=maybe(INT),
    disks=array(record("PlacedDisk", label=STR, size=INT, tags=array(STR), storage_pool=STR)),
    nics=array(
        record(
            "PlacedNic",
            label=STR,
            name=STR,
            kind=STR,
            interface=STR,
            interface_id=maybe(INT),
            vlan=maybe(INT),
            vid=maybe(INT),
            subnet=maybe(INT),
            ip=maybe(STR),
        )
    ),
    pinned_cores=array(INT),
    huge_pages=array(record("PlacedPages", node=INT, page_size=INT, pages=INT)),
    fitting=array(record("FittingHost", host=STR, host_id=INT, score=NUMBER)),
    refused=array(record("RefusedHost", host=STR, host_id=INT, reasons=array(STR))),
    left_out=array(record("LeftOutHosts", hosts=INT, reason=STR)),
)
DIFFERENCE = record(
    "Difference",
    id=INT,
    kind={"type": "string", "enum": [kind.value for kind in Kind]},
    name=STR,
    host_id=maybe(INT),
    host_name=maybe(STR),
    system_id=maybe(STR),
    found=STR,
    expected=STR,
    remedy=STR,
    mended_by={"type": "string", "enum": [by.value for by in By]},
    etag=STR,
    ours=BOOL,
    data_at_risk=BOOL,
    since=maybe(MOMENT),
    first_seen_at=MOMENT,
    last_seen_at=MOMENT,
    sweeps=INT,
    mended_at=maybe(MOMENT),
    mended=maybe(STR),
)
EVENTS = record(
    "Events",
    count=INT,
    events=array(
        record(
            "Event",
            id=INT,
            level={"type": "string", "enum": [level.value.upper() for level in Level]},
            created=STR,
            type=STR,
            description=STR,
            node=maybe(STR),
            hostname=STR,
            username=STR,
            at=MOMENT,
            kind=STR,
            host_id=maybe(INT),
            host_name=maybe(STR),
            operation_id=maybe(INT),
            rack_id=maybe(STR),
            details=ANYTHING,
        )
    ),
    next_uri=maybe(STR),
    prev_uri=maybe(STR),
)
OPERATION_KEYS: Mapping[str, Schema] = {
    "id": INT,
    "kind": STR,
    "state": STR,
    "host_id": maybe(INT),
    "host_name": maybe(STR),
    "system_id": maybe(STR),
    "hostname": maybe(STR),
    "parent_id": maybe(INT),
    "username": maybe(STR),
    "request": ANYTHING,
    "result": ANYTHING,
    "explanation": maybe(ANYTHING),
    "step": maybe(STR),
    "attempt": INT,
    "failures": INT,
    "max_failures": INT,
    "cancel_requested": BOOL,
    "error": maybe(record("OperationError", code=STR, message=STR, details=ANYTHING)),
    "undone": array(STR),
    "created_at": MOMENT,
    "started_at": maybe(MOMENT),
    "finished_at": maybe(MOMENT),
    "not_before": maybe(MOMENT),
    "resource_uri": STR,
}
OPERATION = record("Operation", **OPERATION_KEYS)
ADOPTED = record(
    "Adopted",
    guest=STR,
    system_id=maybe(STR),
    hostname=maybe(STR),
    resource_uri=maybe(STR),
    operation=maybe(OPERATION),
    refused=maybe(STR),
)
LOG_LINE = record("LogLine", at=MOMENT, attempt=INT, step=maybe(STR), message=STR, details=ANYTHING)
OPERATION_WITH_LOG = record("OperationWithLog", **OPERATION_KEYS, log=array(LOG_LINE))
RPC_CLIENT = record(
    "RpcClient",
    name=STR,
    username=STR,
    certificate_fingerprint=STR,
    certificate_expires_at=STR,
    issued_at=STR,
    resource_uri=STR,
)
RACK = record(
    "Rack",
    id=STR,
    name=STR,
    connected=BOOL,
    hosts_reached=INT,
    joined_at=MOMENT,
    seen_at=maybe(MOMENT),
    certificate_expires_at=MOMENT,
    removed_at=maybe(MOMENT),
    resource_uri=STR,
)
VERSION = record("Version", capabilities=array(STR), version=STR, subversion=STR)
