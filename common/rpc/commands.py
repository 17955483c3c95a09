"""The commands of a link, with the types of their requests and responses.

`streams` means that the response is a sequence of `reply` values. Released commands only grow.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import field, frozen

from common.deployment_spec import HostImage, ImageRef
from common.discovery import ImageCopy, MarkerOnOtherMember, OrphanedVolume, Problem, VolumeRef
from common.guest_spec import GuestSpec
from common.values import (
    Guest,
    GuestChange,
    GuestRef,
    HostAccess,
    HostFacts,
    OwnershipMarker,
    PeerIdentity,
    PowerAction,
    PowerState,
    Project,
)
from common.vm_host_report import VmHostReport

Q = TypeVar("Q")
R = TypeVar("R")


@frozen
class Command(Generic[Q, R]):
    """A call by name, with the types of request and reply. With `streams`, the reply is a stream of items, which has
    no limit in total with `endless`.
    """

    name: str
    request: type[Q]
    reply: type[R]
    streams: bool = field(default=False, kw_only=True)
    endless: bool = field(default=False, kw_only=True)


@frozen(kw_only=True)
class Done:
    """An empty response."""


# Region to rack ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class HostCall:
    """A request that needs no more than the host."""

    access: HostAccess


@frozen(kw_only=True)
class Reached:
    """The host responded."""

    hypervisor_version: str


@frozen(kw_only=True)
class DiscoveryPart:
    """A part of a Discovery: the first has `facts`, the last has `last`, `calls` and what its hosts have few of.

    Lists arrive in batches.
    """

    facts: HostFacts | None = None
    guests: tuple[Guest, ...] = ()
    on_other_members: tuple[MarkerOnOtherMember, ...] = ()
    problems: tuple[Problem, ...] = ()
    calls: int = 0
    last: bool = False
    orphaned_volumes: tuple[OrphanedVolume, ...] = ()
    inspected_pools: tuple[str, ...] = ()
    image_copies: tuple[ImageCopy, ...] = ()
    image_pools: tuple[str, ...] = ()


@frozen(kw_only=True)
class Fence:
    """A fencing token. A rack rejects an attempt that is older than the newest it has seen for the machine."""

    machine_id: str
    operation_id: int
    attempt: int


@frozen(kw_only=True)
class ComposeCall:
    """With `check_reach` the rack first connects to the host. If that fails, nothing was started on the host, and the
    error has `NOTHING_BEGAN` in its details."""

    access: HostAccess
    spec: GuestSpec
    fence: Fence
    check_reach: bool = False


NOTHING_BEGAN = "nothing_began"


@frozen(kw_only=True)
class GuestCall:
    """A request about one guest, identified by its marker."""

    access: HostAccess
    guest: GuestRef


@frozen(kw_only=True)
class DecomposeCall:
    """`volumes` and `mac_addresses` are those of the compose, so that what was never attached is removed too."""

    access: HostAccess
    guest: GuestRef
    fence: Fence
    volumes: tuple[tuple[str, str], ...] = ()  # (pool_id, volume)
    mac_addresses: tuple[str, ...] = ()


@frozen(kw_only=True)
class RemoveVolumesCall:
    """Removes those of `volumes` that are named after `marker` and that no guest uses. Changes no guest."""

    access: HostAccess
    marker: OwnershipMarker
    volumes: tuple[VolumeRef, ...]
    fence: Fence


@frozen(kw_only=True)
class PowerCall:
    """Changes the power state. OFF forces the guest off after `grace_s` seconds."""

    access: HostAccess
    guest: GuestRef
    action: PowerAction
    grace_s: float
    fence: Fence


@frozen(kw_only=True)
class CopyImageCall:
    """Brings the image to the host unless it is there. The rack reads its content with CONTENT_READ."""

    access: HostAccess
    image: ImageRef
    pool_id: str
    fence: Fence


@frozen(kw_only=True)
class RemoveImageCall:
    """Removes the copy of an image from a storage pool, or from LXD's image store. `pool_id` as in `ImageCopy`."""

    access: HostAccess
    sha256: str
    pool_id: str
    fence: Fence


@frozen(kw_only=True)
class FindImageCall:
    """Asks for an image that the host has itself: by its alias, or by the beginning of its fingerprint.

    The other one is empty.
    """

    access: HostAccess
    fingerprint: str = ""
    alias: str = ""


@frozen(kw_only=True)
class DeployCall:
    """Writes the image to the root disk of the guest, and its cloud-init data.

    `user_data_sha256` names the user data (`user_data_bytes` long), which the rack reads with CONTENT_READ: it can be
    larger than a frame. `short_user_data` is that of a `CloudInitSeed`.
    """

    access: HostAccess
    spec: GuestSpec
    image: ImageRef
    meta_data: str
    network_config: str
    user_data_sha256: str
    user_data_bytes: int
    fence: Fence
    short_user_data: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class DeployReply:
    """Whether the guest has the short user data and fetches the rest."""

    fetches_user_data: bool = False


@frozen(kw_only=True)
class UndeployCall:
    """Empties the root disk of the guest and removes its cloud-init data.

    With `erase`, its other disks in `spec` too; with `overwrite`, without leaving the old content in free space.
    """

    access: HostAccess
    spec: GuestSpec
    fence: Fence
    erase: bool = False
    overwrite: bool = False


@frozen(kw_only=True)
class FoundGuest:
    """The guest with the requested marker; None if the host has none."""

    guest: Guest | None


@frozen(kw_only=True)
class PowerReply:
    """The power state after the change."""

    power: PowerState


@frozen(kw_only=True)
class DisconnectCall:
    """Closes the rack's connections to the host and deletes its credentials there."""

    host_id: int


@frozen(kw_only=True)
class TrustCall:
    """Makes the host trust `certificate_pem`: the certificate of `access`, or a new one that it adds.

    `secret` is a trust token or a trust password; None only checks whether the host trusts it already.
    """

    access: HostAccess
    certificate_pem: str
    name: str
    secret: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class UntrustCall:
    """Removes a certificate (SHA-256 in hex) from the host's trust list. Idempotent."""

    access: HostAccess
    fingerprint: str


@frozen(kw_only=True)
class ProjectCall:
    """Creates the project of `access` unless it exists."""

    access: HostAccess
    description: str


@frozen(kw_only=True)
class ProjectList:
    """The projects of the server; empty with drivers that have none."""

    projects: tuple[Project, ...]


@frozen(kw_only=True)
class MarkerCall:
    """Adds the marker to a foreign guest (`adopt`) or removes it (`disown`); changes nothing else.

    `guest_id` is the hypervisor's, from a discovery run. With `exactly`, `disown` affects only the guest with that id
    and name, not another one with the same marker.
    """

    access: HostAccess
    guest_id: str
    guest_name: str
    marker: OwnershipMarker
    fence: Fence
    exactly: bool = False


@frozen(kw_only=True)
class ConsoleLogCall:
    """Asks for the last `max_bytes`, at most MAX_CONSOLE_LOG_BYTES, of a guest's serial output."""

    access: HostAccess
    guest: GuestRef
    max_bytes: int


@frozen(kw_only=True)
class ConsoleLog:
    """What the guest wrote, with its control characters and escape sequences."""

    content: bytes = field(repr=False)


@frozen(kw_only=True)
class ConsoleCall:
    """Opens the console of a guest. `console_id`, which the region chooses, names it in `ConsoleInput`."""

    access: HostAccess
    guest: GuestRef
    console_id: str


@frozen(kw_only=True)
class ConsoleOutput:
    """What the guest wrote, at most CONSOLE_PART_BYTES. The first is empty and says that the console is open."""

    data: bytes = field(repr=False)


@frozen(kw_only=True)
class ConsoleInput:
    """What the user typed, at most CONSOLE_PART_BYTES. Raises NotFound once the console has ended."""

    console_id: str
    data: bytes = field(repr=False)


MAX_CONSOLE_LOG_BYTES = 64 * 1024
CONSOLE_PART_BYTES = 16 * 1024

HOST_TRUST = Command("host.trust", TrustCall, Done)
HOST_UNTRUST = Command("host.untrust", UntrustCall, Done)
HOST_PROJECTS = Command("host.projects", HostCall, ProjectList)
HOST_MAKE_PROJECT = Command("host.make_project", ProjectCall, Done)
HOST_ADOPT = Command("host.adopt", MarkerCall, Guest)
HOST_DISOWN = Command("host.disown", MarkerCall, Done)
HOST_IDENTIFY = Command("host.identify", HostCall, PeerIdentity)  # key or certificate of the host, without logging in
HOST_REACH = Command("host.reach", HostCall, Reached)
HOST_DISCOVER = Command("host.discover", HostCall, DiscoveryPart, streams=True)
HOST_COMPOSE = Command("host.compose", ComposeCall, Guest)
HOST_DECOMPOSE = Command("host.decompose", DecomposeCall, Done)
HOST_REMOVE_VOLUMES = Command("host.remove_volumes", RemoveVolumesCall, Done)
HOST_COPY_IMAGE = Command("host.copy_image", CopyImageCall, Done)
HOST_REMOVE_IMAGE = Command("host.remove_image", RemoveImageCall, Done)
HOST_FIND_IMAGE = Command("host.find_image", FindImageCall, HostImage)
HOST_DEPLOY = Command("host.deploy", DeployCall, DeployReply)
HOST_UNDEPLOY = Command("host.undeploy", UndeployCall, Done)
HOST_POWER = Command("host.power", PowerCall, PowerReply)
HOST_FIND = Command("host.find", GuestCall, FoundGuest)
HOST_CONSOLE = Command("host.console", ConsoleCall, ConsoleOutput, streams=True, endless=True)  # until it is cancelled
HOST_CONSOLE_INPUT = Command("host.console_input", ConsoleInput, Done)
HOST_CONSOLE_LOG = Command("host.console_log", ConsoleLogCall, ConsoleLog)
HOST_WATCH = Command("host.watch", HostCall, Done)  # the rack sends HostEvent until the link ends
HOST_DISCONNECT = Command("host.disconnect", DisconnectCall, Done)  # the rack also deletes the credentials


@frozen(kw_only=True)
class HostEvent:
    """Body of the link event `host.event`, rack to region."""

    host_id: int
    change: GuestChange


HOST_EVENT = "host.event"

# Rack to region ------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class JoinCall:
    """The only call that a peer without a certificate may make."""

    token_secret: str = field(repr=False)
    name: str
    signing_request_pem: str


@frozen(kw_only=True)
class Joined:
    """The new rack's id, certificate and trusted authority."""

    rack_id: str
    name: str
    installation_id: str
    certificate_pem: str
    authority_pem: str


@frozen(kw_only=True)
class RenewCall:
    """A certificate signing request for the same identity."""

    signing_request_pem: str


@frozen(kw_only=True)
class Renewed:
    """The renewed certificate and the trusted authority."""

    certificate_pem: str
    authority_pem: str


@frozen(kw_only=True)
class ContentRead:
    """Asks for up to `size` bytes, at most CONTENT_PART_BYTES, of an image or of data that a call has named."""

    sha256: str
    offset: int
    size: int


@frozen(kw_only=True)
class ContentPart:
    """Shorter than requested only at the end of the content."""

    data: bytes = field(repr=False)


@frozen(kw_only=True)
class ReportCall:
    """The report of a guest that booted, with the secret of its deployment; with `vm_host`, that of its hypervisor."""

    deployment_id: int
    secret: str = field(repr=False)
    vm_host: VmHostReport | None = None


@frozen(kw_only=True)
class UserDataCall:
    """Asks for the user data of a guest whose hypervisor does not store it, with the secret of its deployment."""

    deployment_id: int
    secret: str = field(repr=False)


CONTENT_PART_BYTES = 512 * 1024
CONTENT_READ = Command("content.read", ContentRead, ContentPart)
DEPLOYMENT_REPORT = Command("deployment.report", ReportCall, Done)
DEPLOYMENT_USER_DATA = Command("deployment.user_data", UserDataCall, ContentPart, streams=True)
RACK_JOIN = Command("rack.join", JoinCall, Joined)
RACK_RENEW = Command("rack.renew", RenewCall, Renewed)


@frozen(kw_only=True)
class RegionAddresses:
    """Body of the link event `region.addresses`, region to rack: the addresses of all regions."""

    addresses: tuple[str, ...]


REGION_ADDRESSES = "region.addresses"
