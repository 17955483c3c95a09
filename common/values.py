"""Values that describe hosts and guests, exchanged by region and rack.

They are validated on creation and travel over RPC (see `serialization.py`). A new field needs a default. Architectures
have Debian's names (`amd64`, `arm64`, …).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import cast
from uuid import UUID

from attrs import field, frozen
from attrs.validators import ge, min_len

from common.guest_facts import GuestFacts
from common.hardware import Gpu, NetworkDevice
from common.placement_groups import PlacementGroup

MAX_VID = 4094  # of VLAN tags; 0 means untagged
_ADDED_TYPE = re.compile(r"[a-z][a-z0-9-]{0,31}")
POOL_AVAILABLE = "available"  # the status of a storage pool in which disks can be made


class DriverType(StrEnum):
    """The driver of a host. The API calls libvirt `virsh`, as MAAS does.

    Another word is a type that an installed distribution adds (`common/installed_drivers.py`), and stays valid where
    that is missing. A loop over the class yields only Innkeeper's own types.
    """

    LIBVIRT = "virsh"
    LXD = "lxd"
    SIMULATED = "simulated"

    @classmethod
    def _missing_(cls, value: object) -> DriverType | None:
        if not isinstance(value, str) or _ADDED_TYPE.fullmatch(value) is None:
            return None
        added = str.__new__(cls, value)
        added._name_, added._value_ = value.upper(), value
        return cast("DriverType", cls._value2member_map_.setdefault(value, added))

    def __reduce_ex__(self, _: object) -> tuple[type[DriverType], tuple[str]]:
        return DriverType, (self.value,)  # copies of a word are the word itself


class PowerState(StrEnum):
    """The power state of a guest as its hypervisor reports it."""

    ON = "on"
    OFF = "off"
    PAUSED = "paused"  # still uses its memory
    UNKNOWN = "unknown"


class PowerAction(StrEnum):
    """A change of the power state."""

    ON = "on"
    OFF = "off"  # shuts the guest down; forces it off after the grace time
    FORCE_OFF = "force_off"
    CYCLE = "cycle"  # OFF if it is on, then ON


class NicKind(StrEnum):
    """The kind of network that a guest's NIC is attached to; its `source` has the name."""

    NETWORK = "network"  # managed by the hypervisor
    BRIDGE = "bridge"
    MACVLAN = "macvlan"
    USER = "user"  # QEMU's user-mode network: outgoing connections only; needs nothing from the host
    SRIOV = "sriov"  # a virtual function of the port in `source`, which is empty if unknown
    OTHER = "other"  # unknown to Innkeeper: reported, never created


@frozen(kw_only=True)
class OwnershipMarker:
    """Identifies a guest as a machine of this installation. Written when the guest is created or adopted."""

    installation_id: UUID
    machine_id: UUID


@frozen(kw_only=True)
class HugePages:
    """The huge pages of one size on a NUMA node."""

    size_kib: int = field(validator=ge(1))
    total: int = field(validator=ge(0))
    free: int | None = None


@frozen(kw_only=True)
class NumaNode:
    """`core_ids` are hardware threads. `memory_mib` includes huge pages.

    `siblings` groups the core ids that are threads of one core; empty if unknown.
    """

    node_id: int
    core_ids: tuple[int, ...]
    memory_mib: int = field(validator=ge(0))
    huge_pages: tuple[HugePages, ...] = ()
    siblings: tuple[tuple[int, ...], ...] = ()


@frozen(kw_only=True)
class StoragePool:
    """`pool_id` is the hypervisor's: a UUID for libvirt, the name for LXD and simulated hosts.

    `used_elsewhere_bytes` is used by something other than disks of guests (other files on the file system, ISO images,
    unattached volumes). It is rounded up to a whole GiB, so that a growing log file does not count as a change of the
    host at every refresh.

    A pool that is not available has the hypervisor's word as `status`, such as `unavailable` or `inactive`: no disk can
    be made in it, and its sizes are not known now.

    Pools of a server with the same `storage_id` are on the same storage, such as folders on one file system, and share
    its space. Empty: no other pool can share it.
    """

    pool_id: str = field(validator=min_len(1))
    name: str
    type: str
    path: str
    total_bytes: int = field(validator=ge(0))
    used_elsewhere_bytes: int = field(default=0, validator=ge(0))
    status: str = POOL_AVAILABLE
    storage_id: str = ""

    @property
    def is_available(self) -> bool:
        return self.status == POOL_AVAILABLE


@frozen(kw_only=True)
class HostNetwork:
    """Something that a NIC can be attached to. `attachable` is False for what compose must not choose.

    `type` is the hypervisor's: `bridge`, `ovn`, `physical`, `bond`, …, or empty. `vid` is its VLAN tag, 0 if untagged,
    None if unknown; `parent` is the interface that the VLAN is on. `addresses` are the host's addresses there
    (`10.1.0.1/24`), `gateway` the guests' default gateway, `dhcp_ranges` the ranges of its DHCP server
    (`10.1.0.2-10.1.0.254`). `virtual_functions` is the maximum number of functions of the port.
    """

    kind: NicKind
    name: str
    type: str = ""
    active: bool = True
    attachable: bool = True
    bridge: str | None = None
    dhcp: bool = False
    cidrs: tuple[str, ...] = ()
    vid: int | None = None
    mac_address: str | None = None
    parent: str | None = None
    addresses: tuple[str, ...] = ()
    gateway: str | None = None
    dhcp_ranges: tuple[str, ...] = ()
    speed_mbps: int | None = None
    virtual_functions: int = 0


@frozen(kw_only=True)
class Profile:
    """An LXD profile. Instances that Innkeeper creates use the one named `maas`, if there is one."""

    name: str
    description: str = ""


@frozen(kw_only=True)
class ClusterMember:
    """A server of an LXD cluster, as the cluster reports it. `address` is `host:port`."""

    name: str
    address: str
    online: bool = True


@frozen(kw_only=True)
class Project:
    """A project of a host, with the sum of what its guests have."""

    name: str
    description: str = ""
    guests: int = 0
    cores: int = 0
    memory_mib: int = 0
    storage_bytes: int = 0


@frozen(kw_only=True)
class HostFacts:
    """The facts that a discovery run reports of a server.

    `server_identity` is equal for two addresses exactly if they reach the same hypervisor: hosts with the same identity
    share capacity in the ledger. `emulated` means that guests run without hardware virtualization. `networks`,
    `profiles` and `placement_groups` are those of the host's project; everything else belongs to the server.
    """

    server_identity: str = field(validator=min_len(1))
    hypervisor_version: str
    architecture: str
    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    cpu_speed_mhz: int | None = None
    emulated: bool = False
    numa_nodes: tuple[NumaNode, ...] = ()
    storage_pools: tuple[StoragePool, ...] = ()
    networks: tuple[HostNetwork, ...] = ()
    profiles: tuple[Profile, ...] = ()
    network_devices: tuple[NetworkDevice, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    tags: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()  # of the hypervisor's API, if it lists them
    cluster_member: str | None = None  # the name of this server in its cluster; None outside a cluster
    cluster_members: tuple[ClusterMember, ...] = ()
    uefi_firmware: bool | None = None  # whether guests can have it; None if the driver does not say
    product: str = ""  # LXD or Incus; empty if the driver says it all
    placement_groups: tuple[PlacementGroup, ...] = ()


@frozen(kw_only=True)
class GuestDisk:
    """A block device of a guest. `pool_id` is None if it is in no storage pool of the host.

    The volume of a `missing` disk does not exist, so that the guest cannot start; `size_bytes` is what it still takes
    in the pool, because the guest runs.
    """

    device: str
    size_bytes: int = field(validator=ge(0))
    pool_id: str | None = None
    volume: str | None = None
    serial: str | None = None
    missing: bool = False


@frozen(kw_only=True)
class GuestNic:
    """A NIC of a guest, as its hypervisor reports it.

    `addresses` are the IP addresses that a running guest has there, as a lease of the hypervisor or the guest's agent
    shows them; None if they are unknown, or the guest is off. With `own_vlan` its untagged frames are in another VLAN
    than those of its network: in that with the tag `vid` (0: untagged), or in none.
    """

    mac_address: str
    kind: NicKind
    source: str = ""
    addresses: tuple[str, ...] | None = None
    own_vlan: bool = False
    vid: int | None = None


class Autostart(StrEnum):
    """The setting whether a guest starts with its host."""

    LAST_STATE = "last-state"  # it runs if it ran before the host went down
    ALWAYS = "always"
    NEVER = "never"

    def is_in_effect(self, reported: Autostart, power: PowerState) -> bool | None:
        """Returns whether a guest with this power state does so; None if that is unknown.

        A hypervisor without a setting for the last state has one for the state that the guest has now.
        """
        if self is not Autostart.LAST_STATE or reported is Autostart.LAST_STATE:
            return reported is self
        if power is PowerState.UNKNOWN:
            return None
        return reported is (Autostart.NEVER if power is PowerState.OFF else Autostart.ALWAYS)


@frozen(kw_only=True)
class Guest(GuestFacts):
    """An instance or domain as a driver reports it. `marker` is None for a foreign guest."""

    guest_id: str  # the hypervisor's, stable while the guest exists, such as libvirt's UUID
    power: PowerState
    marker: OwnershipMarker | None = None
    disks: tuple[GuestDisk, ...] = ()
    nics: tuple[GuestNic, ...] = ()
    member: str | None = None  # of the cluster, where the guest is now
    is_complete: bool = True  # False if the listing lacked its architecture, pins, huge pages and NICs
    autostart: Autostart | None = None  # None: unknown


@frozen(kw_only=True)
class GuestRef:
    """Identifies a guest by its marker; the name only helps to find it."""

    name: str
    marker: OwnershipMarker


@frozen(kw_only=True)
class PeerIdentity:
    """The SSH host key or TLS certificate that a hypervisor presents.

    `material` is the text that Innkeeper pins: a known-hosts key, or PEM. Users compare `fingerprint`.
    """

    kind: str
    fingerprint: str
    material: str


@frozen(kw_only=True)
class HostAccess:
    """Everything that a rack needs to call one host. Secret: stored in memory only, never printed.

    `credentials`, for a call that needs a login: `ssh_private_key` (OpenSSH PEM), or `certificate` and `key` (PEM).
    `pinned` is the `PeerIdentity.material` of the first contact; None without identity (a local socket) or trust.
    """

    host_id: int
    driver: DriverType
    address: str
    project: str = ""
    member: str | None = None  # of the cluster at the address: the server that runs the guests and has the capacity
    installation_id: UUID
    credentials: Mapping[str, str] = field(factory=dict, repr=False)
    pinned: str | None = None
    product: str = field(default="", eq=False)  # LXD or Incus, as last found, for messages; empty: not known


class GuestEvent(StrEnum):
    """The kind of a change of a guest."""

    POWER = "power"  # `power` has the new state
    APPEARED = "appeared"
    CHANGED = "changed"
    GONE = "gone"
    RESYNC = "resync"  # events may have been lost: refresh the host


@frozen(kw_only=True)
class GuestChange:
    """One event of a hypervisor. A hint: the next discovery run finds the actual state."""

    event: GuestEvent
    guest_name: str = ""
    guest_id: str = ""
    power: PowerState | None = None
