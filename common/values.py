"""What the daemons tell each other about hosts and guests. Frozen, keyword-only, checked where they are made.

These values travel over RPC (`common/wire.py` turns them into maps and back), so they only grow: a new field has a
default. Bytes and MiB are in the names; architectures are Debian's (`amd64`, `arm64`, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen
from attrs.validators import ge, max_len, min_len

from common.hardware import Gpu, NetworkCard

HIGHEST_VID = 4094  # of the tags of VLANs; 0 says that a frame has none


class DriverType(StrEnum):
    """How a host is spoken to. The API calls libvirt `virsh`, as MAAS did; this is that word."""

    LIBVIRT = "virsh"
    LXD = "lxd"
    SIMULATED = "simulated"


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    PAUSED = "paused"  # holds its memory and is not off
    UNKNOWN = "unknown"


class PowerAction(StrEnum):
    ON = "on"
    OFF = "off"  # asks the guest, and pulls the plug when the grace time is over
    FORCE_OFF = "force_off"
    CYCLE = "cycle"  # OFF if it is on, then ON


class NicKind(StrEnum):
    """What a guest's card is attached to; `source` of the card names it."""

    NETWORK = "network"  # a network the hypervisor manages
    BRIDGE = "bridge"
    MACVLAN = "macvlan"
    USER = "user"  # QEMU's user-mode network: reaches out, cannot be reached; needs nothing from the host
    SRIOV = "sriov"  # a virtual function of the card that `source` names (a port), or is empty where nobody tells
    OTHER = "other"  # a way that Innkeeper knows nothing of: read, never made


@frozen(kw_only=True)
class Mark:
    """What makes a guest ours: written into it when it is made, read at each discovery."""

    installation_id: UUID
    machine_id: UUID


@frozen(kw_only=True)
class HugePages:
    size_kib: int = field(validator=ge(1))
    total: int = field(validator=ge(0))
    free: int | None = None


@frozen(kw_only=True)
class NumaNode:
    """`core_ids` are hardware threads. `memory_mib` is all of it, huge pages included.

    `siblings` groups the core ids that are threads of one core; it is empty where nobody tells.
    """

    node_id: int
    core_ids: tuple[int, ...]
    memory_mib: int = field(validator=ge(0))
    huge_pages: tuple[HugePages, ...] = ()
    siblings: tuple[tuple[int, ...], ...] = ()


@frozen(kw_only=True)
class StoragePool:
    """`pool_id` is the driver's own: a UUID for libvirt, the name for LXD and simulated hosts.

    `used_elsewhere_bytes` is room taken by something other than the disks of guests (files beside the pool on the same
    file system, ISO images, volumes attached to nothing). It is rounded up to a whole GiB, so that a log file
    that grows does not make the host look changed at every refresh.
    """

    pool_id: str = field(validator=min_len(1))
    name: str
    type: str
    path: str
    total_bytes: int = field(validator=ge(0))
    used_elsewhere_bytes: int = field(default=0, validator=ge(0))


@frozen(kw_only=True)
class HostNetwork:
    """What a guest's card is attached to. `attachable` is False for what is listed only: compose never chooses it.

    `type` is the hypervisor's own word: `bridge`, `ovn`, `physical`, `bond`, … Empty where it has none. `vid` is of the
    VLAN that it is, 0 when its frames carry no tag, None where nobody tells; `parent` is the interface that VLAN is on.
    `addresses` are the host's own there (`10.1.0.1/24`), `gateway` is what guests there send to others through,
    `dhcp_ranges` what its DHCP server hands out (`10.1.0.2-10.1.0.254`). `virtual_functions` is into how many functions
    the port can be divided.
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
    """Configuration that instances of a project share. Those that Innkeeper makes use the one named `maas`, if any."""

    name: str
    description: str = ""


@frozen(kw_only=True)
class ClusterMember:
    """A server of a cluster, as the cluster says: `address` is where it is reached (`host:port`)."""

    name: str
    address: str
    online: bool = True


@frozen(kw_only=True)
class Project:
    """A project of a host, with what its guests were given."""

    name: str
    description: str = ""
    guests: int = 0
    cores: int = 0
    memory_mib: int = 0
    storage_bytes: int = 0


@frozen(kw_only=True)
class HostFacts:
    """What one discovery found out about a server.

    `server_identity` is equal for two addresses exactly when they lead to the same hypervisor: hosts with the same
    identity share capacity in the ledger. `emulated` says that guests run without hardware virtualization.
    `networks` and `profiles` are those that guests of the host's project may use; all else is the server's.
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
    network_cards: tuple[NetworkCard, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    tags: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()  # of the hypervisor's API, where it says so
    cluster_member: str | None = None  # the name of this server in its cluster; None outside a cluster
    cluster_members: tuple[ClusterMember, ...] = ()


@frozen(kw_only=True)
class GuestDisk:
    """A block device as found. `pool_id` is None when no storage pool of the host holds it."""

    device: str
    size_bytes: int = field(validator=ge(0))
    pool_id: str | None = None
    volume: str | None = None
    serial: str | None = None


@frozen(kw_only=True)
class GuestNic:
    mac_address: str
    kind: NicKind
    source: str = ""


@frozen(kw_only=True)
class Guest:
    """Any instance or domain, ours or not, as a driver sees it. `mark` is None on a foreign guest."""

    name: str
    guest_id: str  # the hypervisor's own, stable while the guest lives: libvirt's UUID
    power: PowerState
    cores: int = field(validator=ge(0))
    memory_mib: int = field(validator=ge(0))
    mark: Mark | None = None
    project: str = ""
    architecture: str = ""
    pinned_core_ids: tuple[int, ...] = ()
    huge_pages_backed: bool = False
    disks: tuple[GuestDisk, ...] = ()
    nics: tuple[GuestNic, ...] = ()
    member: str | None = None  # of the cluster, where the guest is now
    kind: str = "vm"  # or "container", which takes room like any guest and is never ours
    fully_told: bool = True  # False in a listing that could not tell its architecture, pins, huge pages and cards


@frozen(kw_only=True)
class GuestRef:
    """Which guest is meant. The mark decides; the name only helps to find it."""

    name: str
    mark: Mark


@frozen(kw_only=True)
class DiskSpec:
    """A disk to make. `volume` is chosen by the region, so that a repeat finds its own work."""

    volume: str = field(validator=min_len(1))
    pool_id: str = field(validator=min_len(1))
    size_bytes: int = field(validator=ge(1))
    serial: str = field(validator=[min_len(1), max_len(20)])  # virtio-blk serials hold 20 characters
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class NicAddress:
    """An address that a guest's card is given, by whatever way its attachment has: see `NicSpec`."""

    address: str
    prefix_length: int
    gateway: str | None = None
    dns_servers: tuple[str, ...] = ()


@frozen(kw_only=True)
class NicSpec:
    """A card to make. `vid` tags what a virtual function sends; `macvlan_mode` is of a card of that kind.

    `address` is delivered by the hypervisor's own DHCP server where the network has one, and else by cloud-init.
    With `configured` False the guest is told nothing of this card.
    """

    name: str
    mac_address: str
    kind: NicKind
    source: str = ""
    boot: bool = False
    vid: int | None = None
    macvlan_mode: str | None = None
    address: NicAddress | None = None
    configured: bool = True


@frozen(kw_only=True)
class GuestSpec:
    """A guest to make: everything that has to be chosen was chosen before.

    `pinned_core_ids`, if any, are as many as `cores`: the first virtual core runs on the first of them. With
    `huge_page_size_kib` all memory is backed by pages of that size. `numa_node_ids` are those that its memory comes
    from; empty leaves that to the host.
    """

    name: str = field(validator=min_len(1))
    mark: Mark
    architecture: str
    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskSpec, ...]
    nics: tuple[NicSpec, ...] = ()
    description: str = ""
    pinned_core_ids: tuple[int, ...] = ()
    huge_page_size_kib: int | None = None
    numa_node_ids: tuple[int, ...] = ()

    @property
    def ref(self) -> GuestRef:
        return GuestRef(name=self.name, mark=self.mark)


@frozen(kw_only=True)
class PeerIdentity:
    """What a hypervisor's end of the line proved to be: an SSH host key or a TLS certificate.

    `material` is the text that is pinned (a known-hosts key `ssh-ed25519 AAAA…`, or PEM); `fingerprint` is what people
    compare.
    """

    kind: str
    fingerprint: str
    material: str


@frozen(kw_only=True)
class HostAccess:
    """Everything a rack needs to speak to one host, for as long as it does; kept in memory only.

    `credentials`: for libvirt over SSH `ssh_private_key` (OpenSSH PEM) or `power_pass`; for LXD `certificate` and `key`
    (PEM); secrets, so never printed.
    `pinned` is the `PeerIdentity.material` first trusted; None means that this host has no identity to check (a local
    socket) or that it is not trusted yet.
    """

    host_id: int
    driver: DriverType
    address: str
    project: str = ""
    member: str | None = None  # of the cluster behind the address: where guests are made, whose capacity counts
    installation_id: UUID
    credentials: Mapping[str, str] = field(factory=dict, repr=False)
    pinned: str | None = None


class GuestEvent(StrEnum):
    POWER = "power"  # `power` says the new state
    APPEARED = "appeared"
    CHANGED = "changed"
    GONE = "gone"
    RESYNC = "resync"  # events may have been lost: refresh the host


@frozen(kw_only=True)
class GuestChange:
    """One event of a hypervisor. A hint: the truth is the next look at the host."""

    event: GuestEvent
    guest_name: str = ""
    guest_id: str = ""
    power: PowerState | None = None
