"""Requirements of a machine: its size, devices and groups, and the hosts that may take it."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge

from common.units import BYTES_PER_GB
from regiond.placement.affinity import GroupRule

Strategy = Literal["spread", "pack"]
DEFAULT_ROOT_BYTES = 8 * BYTES_PER_GB
NO_SPACE = "undefined"  # MAAS's name for the space of a VLAN that is in none


@frozen(kw_only=True)
class HostFilter:
    """The hosts that may take the machine, whatever their free capacity. An empty field excludes nothing.

    Several values of a field are alternatives, but a host must have all of `tags` and none of `not_tags`. Zones and
    resource pools are names, drivers are the API's host types. `tried_host_ids` are hosts on which this compose
    already failed. Outside of `within_pool_ids` (None: anywhere) the request may not use hosts, nor know of them.
    """

    host_ids: frozenset[int] = frozenset()
    not_host_ids: frozenset[int] = frozenset()
    tried_host_ids: frozenset[int] = frozenset()
    within_pool_ids: frozenset[int] | None = None
    drivers: tuple[str, ...] = ()
    not_drivers: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()


ANY_HOST = HostFilter()


@frozen(kw_only=True)
class DiskRequirement:
    """One disk. `size_bytes` 0 (root disk only) means any size.

    A tag is the name of a storage pool or free text, which only labels the disk. The disk must be in one of `pools`,
    unless they are empty.
    """

    label: str
    size_bytes: int
    tags: tuple[str, ...]
    pools: tuple[str, ...] = ()


@frozen(kw_only=True)
class Condition:
    """One key of an interface constraint: any of `values` satisfies it; if `negated`, none may match."""

    key: str
    values: tuple[str, ...]
    negated: bool = False


@frozen(kw_only=True)
class NicRequirement:
    """One NIC, to be attached to a host interface that satisfies all `conditions`.

    `ip` is a static address for the NIC. If not `configured` (`mode=unconfigured`), it gets no address at all.
    """

    label: str
    conditions: tuple[Condition, ...] = ()
    ip: str | None = None
    configured: bool = True


NetworkType = Literal["fabric", "space", "vlan", "subnet"]


@frozen(kw_only=True)
class NamedNetwork:
    """A fabric, space, VLAN or subnet that a constraint names: `by` `id`, `name`, `vid`, `cidr`, `class` or `ip`.

    `text` is the pair as written, such as `not_space=dmz`; `label` is that of its NIC. Both are for messages.
    """

    of: NetworkType
    by: str
    value: str
    label: str
    text: str


@frozen(kw_only=True)
class PinRequirement:
    """Cores for exclusive use: those of `core_ids`, or any `count` cores of one NUMA node."""

    core_ids: tuple[int, ...] = ()
    count: int | None = None


@frozen(kw_only=True)
class Requirements:
    """The requirements of a machine on its host. `host_id` names the host; None lets the score choose among `hosts`.

    Empty `nics` means one NIC on the host's default network. With `huge_pages`, huge pages back all memory, of size
    `huge_page_size_kib` if given. With `one_numa_node`, pinned cores and huge pages come from a single node. `groups`
    are the machine's affinity and anti-affinity groups. `max_cores` and `max_memory_mib` are not claimed.
    """

    cores: int = field(validator=ge(1))
    memory_mib: int = field(validator=ge(1))
    disks: tuple[DiskRequirement, ...]
    architecture: str | None = None
    cpu_speed_mhz: int | None = None
    host_id: int | None = None
    hosts: HostFilter = ANY_HOST
    nics: tuple[NicRequirement, ...] = ()
    pins: PinRequirement | None = None
    huge_pages: bool = False
    huge_page_size_kib: int | None = None
    one_numa_node: bool = False
    uefi: bool = False  # hosts that cannot do this and the next two reject the compose
    secure_boot: bool = False
    tpm: bool = False
    groups: tuple[GroupRule, ...] = ()
    max_cores: int | None = None
    max_memory_mib: int | None = None
