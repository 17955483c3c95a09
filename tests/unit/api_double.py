"""Services that remember what they were asked and answer with samples; and ways to ask the API without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from attrs import evolve, field, frozen

from common.errors import NotAuthenticated, NotFound
from common.hardware import Gpu, NetworkCard, NetworkPort
from common.values import DriverType, HostNetwork, HugePages, NicKind, NumaNode, PowerState, Profile, Project
from regiond.accounts.model import ApiKey, ApiKeyView, Caller
from regiond.api.answering import Api
from regiond.api.catalogue import SERVED
from regiond.api.endpoint import Resource, SiteInfo
from regiond.api.incoming import Incoming
from regiond.api.replies import Reply
from regiond.api.services import Services
from regiond.clusters.model import ClusterPool, ClusterView
from regiond.events.model import Event, Level
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import Amounts, GuestView, HostState, HostView, StoragePoolView
from regiond.hosts.numa import PlacedGuest, view_of
from regiond.machines.model import Adopted, DiskView, ForgottenMachine, MachineState, MachineView, NicView
from regiond.operations.model import LogLine, Operation, OperationKind, OperationState
from regiond.placement.model import DiskPlace, Placement, Verdict
from regiond.racks.model import RackView, RpcClientView

T = TypeVar("T")

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
NOW_S = 1_800_000_000.0
ZONE = Zone(id=1, name="default", description="")
POOL = ResourcePool(id=0, name="default", description="Default pool")
ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(account_id=2, username="ann", email="ann@example.com", is_admin=False)
ADMIN_KEY = ApiKey.parse("adminconsumer:admintoken:adminsecret")
USER_KEY = ApiKey.parse("userconsumer:usertoken:usersecret")
RACK_ID = "7d1f9a52-5d1c-4b8e-9a5e-3d3a3a3a3a3a"

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
    storage_pools=(
        StoragePoolView(
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
        ),
        StoragePoolView(
            id=2,
            pool_key="gone",
            name="gone",
            type="dir",
            path="/gone",
            total_bytes=1,
            used_bytes=0,
            claimed_bytes=0,
            used_elsewhere_bytes=0,
            is_default=False,
            missing_since=AT,
        ),
    ),
    networks=(
        HostNetwork(kind=NicKind.NETWORK, name="lan", type="bridge", bridge="lan", dhcp=True, cidrs=("10.1.0.0/24",)),
        HostNetwork(kind=NicKind.NETWORK, name="fast", type="sriov", attachable=False),
    ),
    profiles=(Profile(name="default", description="Default LXD profile"),),
    network_cards=(
        NetworkCard(
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
        NetworkCard(usb_address="2:7"),
    ),
    gpus=(Gpu(pci_address="0000:86:00.0", vendor="NVIDIA Corporation", product="GA102GL [A40]", driver="nvidia"),),
    created_at=AT,
)
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
    network_cards=(),
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
GUEST = GuestView(
    id=17,
    host_id=4,
    name="quick-fox",
    project="",
    machine_id=9,
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
    error_message="cores: 4 asked, 1 of 4 left.",
    error_details={"asked": 4},
)
PLACEMENT = Placement(
    order=(
        Verdict(
            host_id=4,
            host_name="hv-01",
            score=0.5,
            disks=(
                DiskPlace(
                    label="root", size_bytes=8 * 10**9, tags=("local",), storage_pool_id=1, storage_pool="images"
                ),
            ),
        ),
    ),
    refused=(Verdict(host_id=5, host_name="hv-02", reasons=("cores: 4 asked, 1 of 4 × 1.0 = 4 left",)),),
    left_out={"not enough cores left": 3},
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
FORGOTTEN = ForgottenMachine(
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
    forgotten_at=AT,
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
)
EVENT = Event(
    id=9,
    at=AT,
    kind="host_pinned",
    level=Level.INFO,
    message="hv-01 is trusted",
    host_id=4,
    details={"fingerprint": "ab"},
)
LOG = (LogLine(at=AT, attempt=1, step="claim", message="claimed", details={"cores": 2}),)


@frozen
class Asked:
    """One call of a service: `hosts.create` with what it was given."""

    name: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]


class Recorder:
    """Any method of one service: remembers the call, then answers with the canned answer, or raises it."""

    def __init__(self, service: str, asked: list[Asked], answers: Mapping[str, Any]) -> None:
        self._service = service
        self._asked = asked
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            key = f"{self._service}.{name}"
            self._asked.append(Asked(key, args, named))
            answer = self._answers[key]
            if callable(answer):
                answer = answer(*args)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


def _host(host_id: int) -> HostView | NotFound:
    return {4: HOST, 5: UNKNOWN_HOST}.get(host_id) or NotFound("Not Found")


def _named(known: Mapping[str, Any]) -> Callable[[str], Any]:
    return lambda name: known.get(name) or NotFound("Not Found")


def _authenticated(consumer_key: str, token_key: str, token_secret: str) -> Caller | NotAuthenticated:
    given = ApiKey(consumer_key=consumer_key, token_key=token_key, token_secret=token_secret)
    return {ADMIN_KEY: ADMIN, USER_KEY: USER}.get(given) or NotAuthenticated("Invalid API key.")


ANSWERS: Mapping[str, Any] = {
    "hosts.list": (HOST, UNKNOWN_HOST),
    "hosts.read": _host,
    "hosts.create": HOST,
    "hosts.update": HOST,
    "hosts.start_refresh": OPERATION,
    "hosts.start_remove": OPERATION,
    "hosts.parameters": {"power_address": "qemu:///system", "power_pass": ""},
    "hosts.add_tag": HOST,
    "hosts.remove_tag": HOST,
    "hosts.trust": HOST,
    "hosts.start_rotate": evolve(OPERATION, kind=OperationKind.ROTATE),
    "hosts.projects": (Project(name="default", guests=1, cores=2),),
    "hosts.numa": view_of(
        NODES,
        HOST.network_cards,
        (
            PlacedGuest(id=17, ours=True, memory_mib=2048, pinned_core_ids=frozenset({2, 5}), ports=("ens1f0",)),
            PlacedGuest(id=18, ours=False, memory_mib=3000, pinned_core_ids=frozenset({3}), huge_pages_backed=True),
        ),
    ),
    "hosts.certificate": _named({"hv-01": "-----BEGIN CERTIFICATE-----"}),
    "hosts.guests": (GUEST,),
    "hosts.guest": lambda guest_id: GUEST if guest_id == 17 else NotFound("No VirtualMachine matches."),
    "machines.list": (MACHINE,),
    "machines.read": _named({"wdpx3n": MACHINE}),
    "machines.start_compose": OPERATION,
    "machines.dry_run": PLACEMENT,
    "machines.start_power": OPERATION,
    "machines.start_delete": OPERATION,
    "machines.query_power": PowerState.PAUSED,
    "adoption.start_adopt": (
        Adopted(guest_name="Web_1", system_id="wdpx3n", hostname="web-1", operation=OPERATION),
        Adopted(guest_name="ours", system_id="wdpx3n", hostname="ours"),
        Adopted(guest_name="box", refused="it is a container, and only virtual machines can be machines"),
    ),
    "adoption.start_forget": OPERATION,
    "adoption.forgotten": (FORGOTTEN,),
    "operations.list": (OPERATION,),
    "operations.read": lambda operation_id: OPERATION if operation_id == 77 else NotFound("Not Found"),
    "operations.log": LOG,
    "operations.wait": OPERATION,
    "operations.cancel": OPERATION,
    "events.list": (EVENT,),
    "accounts.authenticate": _authenticated,
    "accounts.create_key": "newconsumer:newtoken:newsecret",
    "accounts.delete_key": None,
    "accounts.list_keys": (ApiKeyView(name="laptop", consumer_key="c", token_key=USER_KEY.token_key, created_at=AT),),
    "accounts.users": (ADMIN, USER),
    "accounts.user": _named({"admin": ADMIN, "ann": USER}),
    "groups.zones": (ZONE,),
    "groups.zone": _named({"default": ZONE}),
    "groups.create_zone": ZONE,
    "groups.update_zone": ZONE,
    "groups.delete_zone": None,
    "groups.pools": (POOL,),
    "groups.pool": _named({"default": POOL, "0": POOL}),
    "groups.create_pool": POOL,
    "groups.update_pool": POOL,
    "groups.delete_pool": None,
    "clusters.list": (CLUSTER,),
    "clusters.read": lambda cluster_id: CLUSTER if cluster_id == 1 else NotFound("Not Found"),
    "clusters.update": CLUSTER,
    "clusters.start_remove": (OPERATION,),
    "racks.list": (RACK,),
    "racks.read": _named({RACK_ID: RACK}),
    "racks.remove": None,
    "racks.make_token": "innkeeper-token",
    "racks.issue_client": ("certificate", "key", "authority"),
    "racks.clients": (RPC_CLIENT,),
    "racks.revoke_client": None,
}

_LOOKING = {
    "accounts.authenticate",
    "hosts.read",
    "hosts.guest",
    "clusters.read",
    "machines.read",
    "groups.zone",
    "groups.pool",
}


@frozen(kw_only=True)
class World:
    """An API over recorders. `answers` may be changed by a test."""

    answers: dict[str, Any] = field(factory=lambda: dict(ANSWERS))
    asked: list[Asked] = field(factory=list)
    info: SiteInfo = field(factory=lambda: SiteInfo(simulated_hosts=True))
    nonces: list[int] = field(factory=lambda: [0])

    def services(self) -> Services:
        return Services(
            hosts=cast(Any, Recorder("hosts", self.asked, self.answers)),
            clusters=cast(Any, Recorder("clusters", self.asked, self.answers)),
            machines=cast(Any, Recorder("machines", self.asked, self.answers)),
            adoption=cast(Any, Recorder("adoption", self.asked, self.answers)),
            operations=cast(Any, Recorder("operations", self.asked, self.answers)),
            accounts=cast(Any, Recorder("accounts", self.asked, self.answers)),
            groups=cast(Any, Recorder("groups", self.asked, self.answers)),
            events=cast(Any, Recorder("events", self.asked, self.answers)),
            racks=cast(Any, Recorder("racks", self.asked, self.answers)),
        )

    def done(self) -> list[Asked]:
        """What was asked beyond looking things up."""
        return [one for one in self.asked if one.name not in _LOOKING]

    def signed(self, key: ApiKey = ADMIN_KEY) -> str:
        self.nonces[0] += 1
        return authorization(key, nonce=f"n{self.nonces[0]}")

    async def ask(
        self,
        method: str,
        path: str,
        *,
        op: str | None = None,
        form: Mapping[str, Any] | None = None,
        document: Any = None,
        key: ApiKey | None = ADMIN_KEY,
        **incoming: Any,
    ) -> Reply:
        """The answer to `path` below the API's base. `form` goes where the method takes it; `document` as JSON."""
        resource, parts = resource_at(path)
        pairs = [("op", op)] if op is not None else []
        content: dict[str, Any] = {}
        if document is not None:
            content = {"body": json.dumps(document).encode(), "content_type": "application/json"}
        elif form is not None and method in {"POST", "PUT"}:
            kind = "application/x-www-form-urlencoded"
            content = {"body": urlencode(form, doseq=True).encode(), "content_type": kind}
        query = urlencode(pairs)
        if form is not None and method not in {"POST", "PUT"}:
            query = urlencode([*pairs, *form.items()], doseq=True)
        given = {"query": query, **content, "authorization": self.signed(key) if key else None, **incoming}
        api = Api(services=self.services(), info=self.info, now_s=lambda: NOW_S)
        return await api.answer(resource, parts, Incoming(method=method, **given), "reference-1")


def resource_at(path: str) -> tuple[Resource, dict[str, str]]:
    """The resource served at `path`, and the parts of the path that its parameters stand for."""
    segments = path.split("/")
    for resource in SERVED:
        wanted = resource.path.split("/")
        if len(wanted) == len(segments):
            parts = {name[1:-1]: part for name, part in zip(wanted, segments, strict=True) if name.startswith("{")}
            if all(name.startswith("{") or name == part for name, part in zip(wanted, segments, strict=True)):
                return resource, parts
    raise AssertionError(f"nothing is served at {path}")


def authorization(key: ApiKey, *, nonce: str, timestamp_s: float = NOW_S) -> str:
    return (
        'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", '
        f'oauth_consumer_key="{key.consumer_key}", oauth_token="{key.token_key}", '
        f'oauth_signature="%26{key.token_secret}", oauth_nonce="{nonce}", oauth_timestamp="{int(timestamp_s)}"'
    )


def json_of(reply: Reply) -> Any:
    assert reply.content_type.startswith("application/json"), reply
    return json.loads(reply.body)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing outside: with these doubles none does."""
    try:
        work.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    raise AssertionError("the coroutine waits for something")
