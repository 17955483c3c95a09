"""The commands that cross a link, each with the types of its request and of its answer.

Released commands only grow. `streams` means that the answer is a sequence of `reply` values, sent as they come.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from attrs import field, frozen

from common.discovery import MarkElsewhere, Problem, UnusedVolume, VolumeRef
from common.values import (
    Guest,
    GuestChange,
    GuestRef,
    GuestSpec,
    HostAccess,
    HostFacts,
    Mark,
    PeerIdentity,
    PowerAction,
    PowerState,
    Project,
)

Q = TypeVar("Q")
R = TypeVar("R")


@frozen
class Command(Generic[Q, R]):
    name: str
    request: type[Q]
    reply: type[R]
    streams: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class Done:
    """An answer that says only that it is done."""


# Region to rack ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class HostCall:
    access: HostAccess


@frozen(kw_only=True)
class Reached:
    """The host answered; `hypervisor_version` is what it says of itself."""

    hypervisor_version: str


@frozen(kw_only=True)
class DiscoveryPart:
    """A piece of a Discovery: the first has `facts`, the last `last=True` and `calls`; lists come in batches.

    `volumes_told` comes with the last: of a rack that does not send it, nothing is known of unused volumes.
    """

    facts: HostFacts | None = None
    guests: tuple[Guest, ...] = ()
    elsewhere: tuple[MarkElsewhere, ...] = ()
    problems: tuple[Problem, ...] = ()
    calls: int = 0
    last: bool = False
    unused_volumes: tuple[UnusedVolume, ...] = ()
    volumes_told: tuple[str, ...] = ()


@frozen(kw_only=True)
class Fence:
    """Orders the attempts at one machine. A rack refuses an attempt older than the newest it has seen of `machine`."""

    machine_id: str
    operation_id: int
    attempt: int


@frozen(kw_only=True)
class ComposeCall:
    access: HostAccess
    spec: GuestSpec
    fence: Fence


@frozen(kw_only=True)
class GuestCall:
    access: HostAccess
    guest: GuestRef


@frozen(kw_only=True)
class DecomposeCall:
    """`volumes` and `mac_addresses` are those given at compose: what was made and never attached is removed too."""

    access: HostAccess
    guest: GuestRef
    fence: Fence
    volumes: tuple[tuple[str, str], ...] = ()  # (pool_id, volume)
    mac_addresses: tuple[str, ...] = ()


@frozen(kw_only=True)
class RemoveVolumesCall:
    """Remove those of `volumes` that are named after `mark` and that nothing has. No guest is touched."""

    access: HostAccess
    mark: Mark
    volumes: tuple[VolumeRef, ...]
    fence: Fence


@frozen(kw_only=True)
class PowerCall:
    access: HostAccess
    guest: GuestRef
    action: PowerAction
    grace_s: float
    fence: Fence


@frozen(kw_only=True)
class FoundGuest:
    guest: Guest | None


@frozen(kw_only=True)
class PowerReply:
    power: PowerState


@frozen(kw_only=True)
class HostIdCall:
    host_id: int


@frozen(kw_only=True)
class TrustCall:
    """Make the host trust `certificate_pem`, which is that of `access` unless another is to be added with its help.

    `secret` is a trust token or a trust password; None asks only whether it is trusted already.
    """

    access: HostAccess
    certificate_pem: str
    name: str
    secret: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class UntrustCall:
    """Take a certificate (its SHA-256, plain hex) off the host's trust list; harmless when it is not there."""

    access: HostAccess
    fingerprint: str


@frozen(kw_only=True)
class ProjectCall:
    """Make the project of `access` if the host has none of that name."""

    access: HostAccess
    description: str


@frozen(kw_only=True)
class ProjectList:
    projects: tuple[Project, ...]


@frozen(kw_only=True)
class MarkCall:
    """Put the mark on a foreign guest (`adopt`), or take ours off (`disown`): nothing else of the guest changes.

    `guest_id` is the hypervisor's own, as a discovery told it. With `exactly`, `disown` takes it off the guest of that
    id and name and no other that carries it too.
    """

    access: HostAccess
    guest_id: str
    guest_name: str
    mark: Mark
    fence: Fence
    exactly: bool = False


HOST_TRUST = Command("host.trust", TrustCall, Done)
HOST_UNTRUST = Command("host.untrust", UntrustCall, Done)
HOST_PROJECTS = Command("host.projects", HostCall, ProjectList)
HOST_MAKE_PROJECT = Command("host.make_project", ProjectCall, Done)
HOST_ADOPT = Command("host.adopt", MarkCall, Guest)
HOST_DISOWN = Command("host.disown", MarkCall, Done)
HOST_IDENTIFY = Command("host.identify", HostCall, PeerIdentity)  # what the host presents, without logging in
HOST_REACH = Command("host.reach", HostCall, Reached)
HOST_DISCOVER = Command("host.discover", HostCall, DiscoveryPart, streams=True)
HOST_COMPOSE = Command("host.compose", ComposeCall, Guest)
HOST_DECOMPOSE = Command("host.decompose", DecomposeCall, Done)
HOST_REMOVE_VOLUMES = Command("host.remove_volumes", RemoveVolumesCall, Done)
HOST_POWER = Command("host.power", PowerCall, PowerReply)
HOST_FIND = Command("host.find", GuestCall, FoundGuest)
HOST_WATCH = Command("host.watch", HostCall, Done)  # events follow on this link as HostEvent until it ends
HOST_FORGET = Command("host.forget", HostIdCall, Done)  # drop connection and credentials


@frozen(kw_only=True)
class HostEvent:
    """Body of the link event `host.event`, rack to region."""

    host_id: int
    change: GuestChange


HOST_EVENT = "host.event"

# Rack to region ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class JoinCall:
    """The only thing that a peer without a certificate may ask."""

    token_secret: str = field(repr=False)
    name: str
    signing_request_pem: str


@frozen(kw_only=True)
class Joined:
    rack_id: str
    name: str
    installation_id: str
    certificate_pem: str
    authority_pem: str


@frozen(kw_only=True)
class RenewCall:
    signing_request_pem: str


@frozen(kw_only=True)
class Renewed:
    certificate_pem: str
    authority_pem: str


RACK_JOIN = Command("rack.join", JoinCall, Joined)
RACK_RENEW = Command("rack.renew", RenewCall, Renewed)


@frozen(kw_only=True)
class RegionAddresses:
    """Body of the link event `region.addresses`, region to rack: where all regions of the installation are."""

    addresses: tuple[str, ...]


REGION_ADDRESSES = "region.addresses"

# RPC client to region ------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Nothing:
    pass


@frozen(kw_only=True)
class HostSummary:
    id: int
    name: str
    type: str
    cores: int | None
    memory_mib: int | None
    cores_claimed: int
    memory_mib_claimed: int
    state: str


@frozen(kw_only=True)
class MachineSummary:
    system_id: str
    hostname: str
    host_id: int | None
    status: str
    power_state: str
    cores: int
    memory_mib: int


@frozen(kw_only=True)
class ComposeWish:
    """A machine by constraints; `host` (id or name) is chosen by placement when None. Sizes as in the API."""

    host: str | None = None
    hostname: str | None = None
    cores: int = 1
    memory_mib: int = 2048
    storage: str = ""
    power_on: bool = False
    idempotency_key: str | None = None
    interfaces: str = ""
    pinned_cores: tuple[int, ...] = ()
    pin_cores: int | None = None
    huge_pages_backed: bool = False
    huge_page_size_mib: int | None = None
    one_numa_node: bool = False


@frozen(kw_only=True)
class MachineCall:
    system_id: str


@frozen(kw_only=True)
class MachinePowerCall:
    system_id: str
    action: PowerAction


@frozen(kw_only=True)
class OperationCall:
    operation_id: int


@frozen(kw_only=True)
class OperationSummary:
    id: int
    kind: str
    state: str
    system_id: str | None
    error_code: str | None = None
    error_message: str | None = None
    result: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class HostList:
    hosts: tuple[HostSummary, ...]


@frozen(kw_only=True)
class MachineList:
    machines: tuple[MachineSummary, ...]


CLIENT_HOSTS = Command("client.hosts", Nothing, HostList)
CLIENT_MACHINES = Command("client.machines", Nothing, MachineList)
CLIENT_COMPOSE = Command("client.compose", ComposeWish, OperationSummary)
CLIENT_POWER = Command("client.power", MachinePowerCall, OperationSummary)
CLIENT_DELETE = Command("client.delete", MachineCall, OperationSummary)
CLIENT_OPERATION = Command("client.operation", OperationCall, OperationSummary)
CLIENT_WAIT = Command("client.wait", OperationCall, OperationSummary)  # answers when it has ended, or at the deadline
