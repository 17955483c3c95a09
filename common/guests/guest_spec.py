"""The specification of a guest to create: GuestSpec with its disks and NICs."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, max_len, min_len

from common.disks.volume_names import root_volume_names
from common.errors import WrongState
from common.values import Autostart, GuestRef, NicKind, OwnershipMarker


@frozen(kw_only=True)
class DiskSpec:
    """A disk to create. The region chooses the name of the volume, so that a retry finds it."""

    volume: str = field(validator=min_len(1))
    pool_id: str = field(validator=min_len(1))
    size_bytes: int = field(validator=ge(1))
    serial: str = field(validator=[min_len(1), max_len(20)])  # virtio-blk serials hold 20 characters
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class NicAddress:
    """A static IP address of a NIC; see `NicSpec` for how the guest gets it."""

    address: str
    prefix_length: int
    gateway: str | None = None
    dns_servers: tuple[str, ...] = ()


@frozen(kw_only=True)
class NicSpec:
    """A NIC to create. `vid` is the VLAN tag of a virtual function; `macvlan_mode` applies to that kind only.

    The hypervisor's DHCP server delivers `address` if the network has one, else cloud-init. With `configured` False,
    cloud-init leaves the NIC unconfigured.
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
    """A guest to create. The region has chosen everything in it.

    `pinned_core_ids`, if any, has one host core for each virtual core, in order. With `huge_page_size_kib`, pages of
    that size back all memory. `numa_node_ids` are the nodes to allocate it on; empty means any. Without `autostart`, a
    new guest is as the hypervisor makes it, and an existing one stays as it is. `max_cores` and `max_memory_mib` are
    what a new guest can get while it runs, if the hypervisor has to prepare it for that. With `uefi`, it has UEFI
    firmware, and not only while its image needs that; with `secure_boot`, the firmware starts only systems that are
    signed with Microsoft's keys; `tpm` adds a TPM 2.0. All five are of `compose` only. `root_volume` is the volume of a
    root disk that was moved to another storage pool; empty: that of `compose`.
    """

    name: str = field(validator=min_len(1))
    marker: OwnershipMarker
    architecture: str
    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskSpec, ...]
    nics: tuple[NicSpec, ...] = ()
    description: str = ""
    pinned_core_ids: tuple[int, ...] = ()
    huge_page_size_kib: int | None = None
    numa_node_ids: tuple[int, ...] = ()
    autostart: Autostart | None = None
    max_cores: int | None = None
    max_memory_mib: int | None = None
    uefi: bool = False
    secure_boot: bool = False
    tpm: bool = False
    root_volume: str = ""

    @property
    def ref(self) -> GuestRef:
        return GuestRef(name=self.name, marker=self.marker)

    def root_disk(self) -> DiskSpec:
        """Returns the disk that an operating system is written to. Raises WrongState if it is not the first one.

        The definition of an existing machine omits disks that Innkeeper did not create. Then its first disk may hold
        data, which nothing may delete instead.
        """
        known = (self.root_volume,) if self.root_volume else root_volume_names(self.marker)
        if self.disks and self.disks[0].volume in known:
            return self.disks[0]
        root = known[0]
        raise WrongState(
            f"{self.name} does not have its root disk {root} any more, and no other disk is written or emptied in its "
            "place. Give the VM that disk back (a snapshot of the hypervisor is merged with virsh blockcommit), and "
            "refresh its host; or delete the VM.",
            volume=root,
        )
