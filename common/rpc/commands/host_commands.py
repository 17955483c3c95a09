"""Commands of a region to a rack about hosts, with the types of their requests and responses.

Released commands only grow.
"""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, le

from common.boot import BootOnce
from common.guest_facts import MAX_GENERATION
from common.guests.deployment_spec import HostImage, ImageRef
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import DiskSize, GuestSize
from common.hosts.discovery import ImageCopy, MarkerOnOtherMember, OrphanedVolume, Problem, VolumeRef
from common.rpc.commands.command import Command, Done
from common.rpc.commands.host_method import CallClass, HostMethod
from common.values import (
    Autostart,
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

_QUICK = CallClass.QUICK


@frozen(kw_only=True)
class HostCall:
    """A request to a host; by itself one that needs no more than the host."""

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


MAX_CALL_S = 1800.0  # the longest deadline of a command: by then a rack has abandoned it


@frozen(kw_only=True)
class ComposeCall(HostCall):
    """With `check_reach` the rack first connects to the host. If that fails, nothing was started on the host, and the
    error has `NOTHING_BEGAN` in its details."""

    spec: GuestSpec
    fence: Fence
    check_reach: bool = False


NOTHING_BEGAN = "nothing_began"


@frozen(kw_only=True)
class FenceCall:
    """The rack rejects older attempts from now on, and responds when none acts on the machine any more."""

    fence: Fence


@frozen(kw_only=True)
class GuestCall(HostCall):
    """A request about one guest, identified by its marker."""

    guest: GuestRef


@frozen(kw_only=True)
class DecomposeCall(GuestCall):
    """`volumes` and `mac_addresses` are those of the compose, so that what was never attached is removed too.

    With `guest_id`, a guest with another id is not changed. Racks of releases that do not know it ignore it.
    """

    fence: Fence
    volumes: tuple[tuple[str, str], ...] = ()  # (pool_id, volume)
    mac_addresses: tuple[str, ...] = ()
    guest_id: str | None = None


@frozen(kw_only=True)
class RemoveVolumesCall(HostCall):
    """Removes those of `volumes` that are named after `marker` and that no guest uses. Changes no guest.

    With `adopted` they have any names: a person made them Innkeeper's own. A rack of a release before removes none.
    """

    marker: OwnershipMarker
    volumes: tuple[VolumeRef, ...]
    fence: Fence
    adopted: bool = False


@frozen(kw_only=True)
class PowerCall(GuestCall):
    """Changes the power state. OFF forces the guest off after `grace_s` seconds. `autostart` is applied to the state
    that it has then, `size` and `disk_sizes` before a start, not to a guest that keeps running; None, or a disk that
    is not named: they stay as they are. `boot_once` is the order of that start only.
    """

    action: PowerAction
    grace_s: float
    fence: Fence
    autostart: Autostart | None = None
    size: GuestSize | None = None
    disk_sizes: tuple[DiskSize, ...] = ()
    boot_once: BootOnce | None = None


@frozen(kw_only=True)
class SetAutostartCall(GuestCall):
    """Decides what becomes of the guest when its host starts."""

    autostart: Autostart
    fence: Fence


@frozen(kw_only=True)
class SetGenerationCall(GuestCall):
    """Writes, beside the marker, how often a use of the machine has begun. A guest that has more keeps that."""

    generation: int = field(validator=[ge(0), le(MAX_GENERATION)])
    fence: Fence


@frozen(kw_only=True)
class SetBootDiskCall(GuestCall):
    """Decides from which disk the guest boots first at its next start. `volume` as in a `GuestDisk`, or the device of
    a disk without a volume of its own.
    """

    pool_id: str
    volume: str
    fence: Fence


@frozen(kw_only=True)
class CopyImageCall(HostCall):
    """Brings the image to the host unless it is there. The rack reads its content with CONTENT_READ."""

    image: ImageRef
    pool_id: str
    fence: Fence


@frozen(kw_only=True)
class RemoveImageCall(HostCall):
    """Removes the copy of an image from a storage pool, or from LXD's image store. `pool_id` as in `ImageCopy`."""

    sha256: str
    pool_id: str
    fence: Fence


@frozen(kw_only=True)
class FindImageCall(HostCall):
    """Asks for an image that the host has itself: by its alias, or by the beginning of its fingerprint.

    The other one is empty.
    """

    fingerprint: str = ""
    alias: str = ""


@frozen(kw_only=True)
class DeployCall(HostCall):
    """Writes the image to the root disk of the guest, and its cloud-init data.

    `user_data_sha256` names the user data (`user_data_bytes` long), which the rack reads with CONTENT_READ: it can be
    larger than a frame. `short_user_data` is that of a `CloudInitSeed`.
    """

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
    """The result of a deployment: whether the guest has the short user data and fetches the rest."""

    fetches_user_data: bool = False


@frozen(kw_only=True)
class SetAddressesCall(HostCall):
    """Makes the host reserve the addresses of the NICs in `spec`, and no others of the guest."""

    spec: GuestSpec
    fence: Fence


@frozen(kw_only=True)
class UndeployCall(HostCall):
    """Empties the root disk of the guest and removes its cloud-init data.

    With `erase`, its other disks in `spec` too; with `overwrite`, without leaving the old content in free space.
    """

    spec: GuestSpec
    fence: Fence
    erase: bool = False
    overwrite: bool = False


@frozen(kw_only=True)
class FoundGuest:
    """The guest with the requested marker; None if the host has none."""

    guest: Guest | None


@frozen(kw_only=True)
class AutostartReply:
    """The setting that the hypervisor reports now."""

    reported: Autostart


@frozen(kw_only=True)
class PowerReply:
    """The power state after the change. `size` is what the guest has then; None if the call had none, or from a rack
    of release 1.0, which ignores it. `disk_sizes` are those of the disks that the call names. `booted_once` is the key
    of the order for one start with which the guest was started; None if the call had none, or it does not run so. The
    others are why the host refused something before the start of this call: the size, disks, the order for one start;
    empty: nothing, or from a rack that does not tell."""

    power: PowerState
    size: GuestSize | None = None
    disk_sizes: tuple[DiskSize, ...] = ()
    booted_once: str | None = None
    size_refused: str = ""
    disks_refused: tuple[str, ...] = ()
    boot_refused: str = ""


@frozen(kw_only=True)
class DisconnectCall:
    """Closes the rack's connections to the host and deletes its credentials there."""

    host_id: int


@frozen(kw_only=True)
class TrustCall(HostCall):
    """Makes the host trust `certificate_pem`: the certificate of `access`, or a new one that it adds.

    `secret` is a trust token or a trust password; None only checks whether the host trusts it already.
    """

    certificate_pem: str
    name: str
    secret: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class UntrustCall(HostCall):
    """Removes a certificate (SHA-256 in hex) from the host's trust list. Idempotent."""

    fingerprint: str


@frozen(kw_only=True)
class ProjectCall(HostCall):
    """Creates the project of `access` unless it exists."""

    description: str


@frozen(kw_only=True)
class ProjectList:
    """The projects of the server; empty with drivers that have none."""

    projects: tuple[Project, ...]


@frozen(kw_only=True)
class MarkerCall(HostCall):
    """Adds the marker to a foreign guest (`adopt`) or removes it (`disown`); changes nothing else.

    `guest_id` is the hypervisor's, from a discovery run. With `exactly`, `disown` affects only the guest with that id
    and name, not another one with the same marker.
    """

    guest_id: str
    guest_name: str
    marker: OwnershipMarker
    fence: Fence
    exactly: bool = False


HOST_TRUST = HostMethod("host.trust", TrustCall, Done, call_class=_QUICK, deadline_s=30.0)
HOST_UNTRUST = HostMethod("host.untrust", UntrustCall, Done, call_class=_QUICK, deadline_s=30.0)
HOST_PROJECTS = HostMethod("host.projects", HostCall, ProjectList, deadline_s=30.0)
HOST_MAKE_PROJECT = HostMethod("host.make_project", ProjectCall, Done, call_class=_QUICK, deadline_s=30.0)
HOST_ADOPT = Command("host.adopt", MarkerCall, Guest)
HOST_DISOWN = Command("host.disown", MarkerCall, Done)
HOST_IDENTIFY = Command("host.identify", HostCall, PeerIdentity)  # key or certificate of the host, without logging in
HOST_REACH = HostMethod("host.reach", HostCall, Reached, call_class=_QUICK, deadline_s=30.0)
HOST_DISCOVER = Command("host.discover", HostCall, DiscoveryPart, streams=True)
HOST_COMPOSE = Command("host.compose", ComposeCall, Guest, deadline_s=140.0)  # with up to 30 s for `check_reach`
HOST_DECOMPOSE = HostMethod("host.decompose", DecomposeCall, Done)
HOST_REMOVE_VOLUMES = HostMethod("host.remove_volumes", RemoveVolumesCall, Done)
HOST_COPY_IMAGE = Command("host.copy_image", CopyImageCall, Done, deadline_s=MAX_CALL_S)
HOST_REMOVE_IMAGE = Command("host.remove_image", RemoveImageCall, Done)
HOST_FIND_IMAGE = HostMethod("host.find_image", FindImageCall, HostImage, call_class=_QUICK, deadline_s=30.0)
HOST_DEPLOY = Command("host.deploy", DeployCall, DeployReply, deadline_s=600.0)
HOST_UNDEPLOY = HostMethod("host.undeploy", UndeployCall, Done, call_class=CallClass.LONG_RUNNING, deadline_s=600.0)
HOST_SET_ADDRESSES = HostMethod("host.set_addresses", SetAddressesCall, Done)
HOST_FENCE = Command("host.fence", FenceCall, Done)
HOST_POWER = Command("host.power", PowerCall, PowerReply)
HOST_SET_AUTOSTART = HostMethod("host.set_autostart", SetAutostartCall, AutostartReply)
HOST_SET_GENERATION = HostMethod("host.set_generation", SetGenerationCall, Done)
HOST_SET_BOOT_DISK = HostMethod("host.set_boot_disk", SetBootDiskCall, PowerReply)
HOST_FIND = HostMethod("host.find", GuestCall, FoundGuest, call_class=_QUICK, deadline_s=20.0)
HOST_WATCH = Command("host.watch", HostCall, Done)  # the rack sends HostEvent until it sends HostUnwatched
HOST_DISCONNECT = Command("host.disconnect", DisconnectCall, Done)  # the rack also deletes the credentials


@frozen(kw_only=True)
class HostEvent:
    """Body of the link event `host.event`, rack to region."""

    host_id: int
    change: GuestChange


@frozen(kw_only=True)
class HostUnwatched:
    """Body of the link event `host.unwatched`, rack to region: the rack was disconnected from a host that it watched.

    The region asks again if it still wants the events. Older regions ignore it.
    """

    host_id: int


HOST_EVENT = "host.event"
HOST_UNWATCHED = "host.unwatched"
