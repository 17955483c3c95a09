"""Doubles of the services that record calls and answer with samples, and requests to the API without a network."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Coroutine, Mapping
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlencode

from attrs import evolve, field, fields_dict, frozen

from common.compose_request import ComposeRequest
from common.errors import NotAuthenticated, NotFound
from common.values import PowerState, Project
from regiond.accounts.model import ApiKey, ApiKeyView
from regiond.api.dispatch import Api
from regiond.api.endpoint import Resource, SiteInfo
from regiond.api.registry import SERVED
from regiond.api.replies import Reply
from regiond.api.request import ApiRequest
from regiond.api.services import Services
from regiond.caller import Caller
from regiond.deletion_plan import AffectedRecord, DeletionPlan
from regiond.hosts.model import HostView
from regiond.hosts.numa_usage import NumaAllocation, numa_usage
from regiond.ledger.model import DiscreteResources
from regiond.ledger.service import fleet_capacity
from regiond.long_list import LongList
from regiond.machines.model import Adopted, Allocated, MachineToCompose
from regiond.machines.service import HostRemovalPlan, HostWorkload, MachineRemovalPlan
from regiond.networks.model import UsedAddress
from regiond.operations.model import OperationKind
from tests.unit.api_samples import (
    ACCOUNT,
    ADMIN,
    ADMIN_ACCOUNT,
    AT,
    AUDIT_ENTRY,
    CHAIN_REPORT,
    CLUSTER,
    COUNTED,
    DETACHED,
    EVENT,
    FORGOTTEN,
    GRANT,
    GUEST,
    HOST,
    LOG,
    MACHINE,
    NODES,
    OPEN_DISCREPANCY,
    OPERATION,
    PLACEMENT,
    POOL,
    QUOTA,
    RACK,
    RACK_ID,
    RAW_ENTRY,
    REGION,
    REPAIRED_DISCREPANCY,
    RPC_CLIENT,
    SESSION,
    SSH_KEY,
    UNKNOWN_HOST,
    USER,
    ZONE,
)
from tests.unit.network_samples import FABRIC, INTERFACES, IP_RANGE, IPV6_SUBNET, SPACE, SUBNET, UNTAGGED, VLAN

T = TypeVar("T")

NOW_S = 1_800_000_000.0
ADMIN_KEY = ApiKey.parse("adminconsumer:admintoken:adminsecret")
USER_KEY = ApiKey.parse("userconsumer:usertoken:usersecret")


@frozen
class ServiceCall:
    """A recorded call of a service, such as `hosts.create`, with its arguments."""

    name: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]


class Recorder:
    """A double of one service: any method records the call and returns or raises its configured answer."""

    def __init__(self, service: str, calls: list[ServiceCall], answers: Mapping[str, Any]) -> None:
        self._service = service
        self._calls = calls
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            key = f"{self._service}.{name}"
            self._calls.append(ServiceCall(key, args, named))
            answer = self._answers[key]
            if callable(answer):
                answer = answer(*args)
            if inspect.isawaitable(answer):
                answer = await answer
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


API_KEY = ApiKeyView(name="laptop", consumer_key="c", token_key=USER_KEY.token_key, created_at=AT)
DELETION_PLAN = DeletionPlan(
    name="east",
    deleted=(AffectedRecord(kind="zone", id="5", name="east"),),
    effects=("Members that move to the zone 'west': 1 VM host.",),
)


def _changed(service: str, **samples: Any) -> dict[str, Any]:
    """The answers to creating, updating and deleting each kind of object."""
    return {
        f"{service}.{verb}_{kind}": DELETION_PLAN if verb == "delete" else sample
        for kind, sample in samples.items()
        for verb in ("create", "update", "delete")
    }


ANSWERS: Mapping[str, Any] = {
    "hosts.long_list": LongList.of((HOST, UNKNOWN_HOST)),
    "hosts.read": _host,
    "hosts.capacity": fleet_capacity([COUNTED]),
    "hosts.capacities": {4: COUNTED.capacity},
    "hosts.ids_of": lambda texts: {one: frozenset({4} if one == "hv-01" else ()) for one in texts},
    "hosts.names": ("hv-01",),
    "hosts.create": HOST,
    "hosts.update": HOST,
    "hosts.start_refresh": OPERATION,
    "hosts.start_remove": OPERATION,
    "hosts.begin_maintenance": None,
    "hosts.end_maintenance": None,
    "machines.workloads": lambda host_ids: tuple(
        HostWorkload(host_id=one, host_name="hv-01", maintenance=None, machines=(MACHINE,), foreign=(GUEST,))
        for one in host_ids
    ),
    "hosts.check_removal": HOST,
    "hosts.removal_certificates": (),
    "machines.removal_plan": HostRemovalPlan(name="hv-01", deleted=(), kept=()),
    "hosts.parameters": {"power_address": "qemu:///system", "power_pass": ""},
    "hosts.add_tag": HOST,
    "hosts.remove_tag": HOST,
    "hosts.trust": HOST,
    "hosts.confirm_server": HOST,
    "hosts.start_rotate": evolve(OPERATION, kind=OperationKind.ROTATE),
    "hosts.projects": (Project(name="default", guests=1, cores=2),),
    "hosts.numa": numa_usage(
        NODES,
        HOST.network_devices,
        (
            NumaAllocation(
                guest_id=17,
                is_machine=True,
                cores=2,
                general_mib=2048,
                discrete=DiscreteResources(pinned_core_ids=(2, 5), functions={"ens1f0": 1}),
            ),
            NumaAllocation(
                guest_id=18,
                is_machine=False,
                cores=1,
                discrete=DiscreteResources(pinned_core_ids=(3,), huge_pages={"0/1048576": 3}),
            ),
            NumaAllocation(guest_id=19, is_machine=True, cores=3, general_mib=9216),
            NumaAllocation(guest_id=20, is_machine=False, general_mib=512),
        ),
    ),
    "hosts.certificate": _named({"hv-01": "-----BEGIN CERTIFICATE-----"}),
    "hosts.long_list_of_guests": LongList.of((GUEST,)),
    "hosts.guest": lambda guest_id: GUEST if guest_id == 17 else NotFound("No VirtualMachine matches."),
    "machines.list": lambda wanted: (MACHINE,) if MACHINE.hostname in wanted.hostnames or not wanted.hostnames else (),
    "machines.long_list": LongList.of((MACHINE,)),
    "machines.read": _named({"wdpx3n": MACHINE}),
    "machines.start_compose": OPERATION,
    "machines.compose_problems": {},
    "machines.dry_run": PLACEMENT,
    "machines.start_power": OPERATION,
    "machines.start_delete": OPERATION,
    "machines.deletion_plan": MachineRemovalPlan(name="web-1"),
    "machines.query_power": PowerState.PAUSED,
    "allocation.start": OPERATION,
    "allocation.allocated": Allocated(machine=MACHINE),
    "allocation.dry_run": MachineToCompose(
        request=ComposeRequest(), placement=PLACEMENT, disk_labels=(), nic_labels=()
    ),
    "ownership.start_release": OPERATION,
    "ownership.release_plan": MachineRemovalPlan(name="web-1"),
    "ownership.release_all_plan": MachineRemovalPlan(name="2 machines"),
    "ownership.start_release_all": ("wdpx3n",),
    "ownership.set_owner_data": MACHINE,
    "ownership.mark_broken": MACHINE,
    "ownership.set_locked": MACHINE,
    "ownership.mark_fixed": MACHINE,
    "ownership.update": MACHINE,
    "adoption.start_adopt": (
        Adopted(guest_name="Web_1", system_id="wdpx3n", hostname="web-1", operation=OPERATION),
        Adopted(guest_name="managed", system_id="wdpx3n", hostname="managed"),
        Adopted(guest_name="box", rejected="it is a container, and only virtual machines can be machines"),
    ),
    "adoption.start_forget": OPERATION,
    "adoption.forget_plan": MachineRemovalPlan(name="web-1"),
    "adoption.detached": (DETACHED,),
    "adoption.forgotten": (FORGOTTEN,),
    "operations.list": (OPERATION,),
    "operations.read": lambda operation_id: OPERATION if operation_id == 77 else NotFound("Not Found"),
    "operations.log": LOG,
    "operations.wait_reason": None,
    "operations.wait": OPERATION,
    "operations.cancel": OPERATION,
    "operations.cancel_plan": DELETION_PLAN,
    "events.list": (EVENT,),
    "reconciler.check": (OPEN_DISCREPANCY,),
    "reconciler.recent_repairs": (REPAIRED_DISCREPANCY,),
    "reconciler.read_stored": lambda discrepancy_id: OPEN_DISCREPANCY if discrepancy_id == 3 else NotFound("Not Found"),
    "reconciler.read": OPEN_DISCREPANCY,
    "reconciler.approval_plan": DELETION_PLAN,
    "reconciler.approve": REPAIRED_DISCREPANCY,
    "accounts.authenticate": _authenticated,
    "accounts.create_key": "newconsumer:newtoken:newsecret",
    "accounts.delete_key": DELETION_PLAN,
    "logins.log_in": ("laptop", "newconsumer:newtoken:newsecret"),
    "accounts.list_keys": (API_KEY,),
    "sessions.list": (SESSION,),
    "sessions.end": DELETION_PLAN,
    "accounts.rename_key": API_KEY,
    "logins.change_password": None,
    "users.list": (ADMIN_ACCOUNT, ACCOUNT),
    "users.read": _named({"admin": ADMIN_ACCOUNT, "ann": ACCOUNT}),
    "users.create": ACCOUNT,
    "users.update": ACCOUNT,
    "users.delete": DELETION_PLAN,
    "ssh_keys.list": (SSH_KEY,),
    "ssh_keys.read": lambda _, key_id: SSH_KEY if key_id == 9 else NotFound("Not Found"),
    "ssh_keys.import_from": (SSH_KEY,),
    "ssh_keys.add": SSH_KEY,
    "ssh_keys.delete": DELETION_PLAN,
    "grants.list": (GRANT,),
    "grants.grant": GRANT,
    "grants.revoke": DELETION_PLAN,
    "quotas.list": (QUOTA,),
    "quotas.read": lambda quota_id: QUOTA if quota_id == 1 else NotFound("There is no quota."),
    "quotas.create": QUOTA,
    "quotas.update": QUOTA,
    "quotas.delete": DELETION_PLAN,
    "groups.zones": (ZONE,),
    "groups.zone": _named({"default": ZONE}),
    "groups.pools": (POOL,),
    "groups.pool": _named({"default": POOL, "0": POOL}),
    **_changed("groups", zone=ZONE, pool=POOL),
    "clusters.list": (CLUSTER,),
    "clusters.read": lambda cluster_id: CLUSTER if cluster_id == 1 else NotFound("Not Found"),
    "clusters.update": CLUSTER,
    "clusters.start_remove": (OPERATION,),
    "audit.begin": 1,
    "audit.end": None,
    "audit.record": None,
    "audit.list": (AUDIT_ENTRY,),
    "audit.export": (RAW_ENTRY,),
    "audit.verify": CHAIN_REPORT,
    "racks.list": (RACK,),
    "racks.regions": (REGION,),
    "racks.read": _named({RACK_ID: RACK}),
    "racks.update": RACK,
    "racks.report_stolen": RACK,
    "racks.remove": DELETION_PLAN,
    "racks.create_token": "innkeeper-token",
    "rpc_clients.issue": ("certificate", "key", "authority"),
    "rpc_clients.list": (RPC_CLIENT,),
    "rpc_clients.revoke": DELETION_PLAN,
    "networks.fabrics": (FABRIC,),
    "networks.fabric": _named({"0": FABRIC, "fabric-0": FABRIC}),
    "networks.vlan": lambda vlan_id: {5001: UNTAGGED, 5002: VLAN}.get(vlan_id) or NotFound("There is no VLAN."),
    "networks.subnets": (SUBNET, IPV6_SUBNET),
    "networks.subnet": _named({"3": SUBNET, "dmz": SUBNET, "10.1.0.0/24": SUBNET}),
    "networks.used_addresses": (
        UsedAddress(address=ip_address("10.1.0.1"), host="k3xq7a", host_name="hv-01"),
        UsedAddress(address=ip_address("10.1.0.7"), machine="wdpx3n", hostname="web"),
    ),
    "networks.spaces": (SPACE,),
    "networks.space": _named({"2": SPACE, "front": SPACE}),
    "networks.ranges": (IP_RANGE,),
    "networks.range": lambda range_id: IP_RANGE if range_id == 6 else NotFound("There is no range."),
    **_changed("networks", fabric=FABRIC, vlan=VLAN, subnet=SUBNET, space=SPACE, range=IP_RANGE),
    "networks.interfaces": _named({"k3xq7a": INTERFACES, "wdpx3n": INTERFACES}),  # the second for ids of both kinds
    "networks.update_interface": INTERFACES[0],
}

_LOOKUPS = {
    "audit.begin",
    "audit.end",
    "audit.record",
    "machines.compose_problems",
    "accounts.authenticate",
    "users.read",
    "hosts.read",
    "hosts.ids_of",
    "hosts.names",
    "hosts.guest",
    "clusters.read",
    "machines.read",
    "groups.zone",
    "groups.pool",
    "networks.fabric",
    "networks.vlan",
    "networks.subnet",
    "networks.space",
    "networks.range",
    "networks.interfaces",
    "reconciler.read_stored",
    "quotas.read",
}


@frozen(kw_only=True)
class ApiDouble:
    """An API whose services are recorders. Tests may change `answers`."""

    answers: dict[str, Any] = field(factory=lambda: dict(ANSWERS))
    calls: list[ServiceCall] = field(factory=list)
    info: SiteInfo = field(factory=lambda: SiteInfo(simulated_hosts=True))
    nonces: list[int] = field(factory=lambda: [0])

    def services(self) -> Services:
        recorders: dict[str, Any] = {
            name: Recorder(name, self.calls, self.answers) for name in fields_dict(Services) if name != "caller"
        }
        return Services(**recorders)

    def done(self) -> list[ServiceCall]:
        """The recorded calls that are not lookups."""
        return [one for one in self.calls if one.name not in _LOOKUPS]

    def signed(self, key: ApiKey = ADMIN_KEY) -> str:
        self.nonces[0] += 1
        return authorization(key, nonce=f"n{self.nonces[0]}")

    def request(self, method: str, path: str, **sent: Any) -> Reply:
        """The response to what `send` sends."""
        return result_of(self.send(method, path, **sent))

    def json(self, method: str, path: str, **sent: Any) -> Any:
        """The JSON of a successful response."""
        reply = self.request(method, path, **sent)
        assert reply.status == 200, reply
        return json_of(reply)

    def rejected(self, method: str, path: str, **sent: Any) -> dict[str, list[str]]:
        """The problems by field with which a request is rejected before any service changes something."""
        reply = self.request(method, path, **sent)
        assert (reply.status, self.done()) == (400, []), reply
        problems: dict[str, list[str]] = json_of(reply)
        return problems

    def call(self, name: str) -> ServiceCall:
        """The one call of the service method `name`."""
        (call,) = [one for one in self.calls if one.name == name]
        return call

    async def send(
        self,
        method: str,
        path: str,
        *,
        op: str | None = None,
        form: Mapping[str, Any] | None = None,
        document: Any = None,
        key: ApiKey | None = ADMIN_KEY,
        **more: Any,
    ) -> Reply:
        """The response for `path` below the API's base. `form` is sent in the query or the body, `document` as JSON."""
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
        given = {"query": query, **content, "authorization": self.signed(key) if key else None, **more}
        api = Api(services=self.services(), info=self.info, now_s=lambda: NOW_S)
        return await api.answer(resource, parts, ApiRequest(method=method, **given), "reference-1")


def resource_at(path: str) -> tuple[Resource, dict[str, str]]:
    """The resource served at `path`, and the values of its path parameters."""
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


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends, as with these doubles."""
    try:
        work.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    raise AssertionError("the coroutine waits for something")
