"""The knowledge of a MAAS installation of its VM hosts, in one shape: the input of an import.

Ids are those of MAAS, as text (`system_id` for machines); names refer to other parts of the same inventory. Every
source fills what it has: a database has more than the API (`docs/decisions/0104-import-from-maas.md`).
"""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen


class SourceKind(StrEnum):
    API = "api"  # a running MAAS
    DUMP = "dump"  # a PostgreSQL dump
    DATABASE = "database"  # the PostgreSQL database itself


@frozen(kw_only=True)
class Origin:
    """The place where the inventory was read. `uuid` is that of the installation; empty if the source has none."""

    kind: SourceKind
    label: str  # the URL, the name of the file, or the host and name of the database; without secrets
    version: str = ""  # of MAAS, such as `3.7`; a schema that several releases share names the first
    uuid: str = ""
    name: str = ""  # the name that the installation gave itself


@frozen(kw_only=True)
class Named:
    """A zone, a resource pool, a space, or a tag (`description` is its comment)."""

    id: str
    name: str
    description: str = ""
    definition: str = ""  # of a tag: XPath over hardware data
    kernel_opts: str = ""  # of a tag


@frozen(kw_only=True)
class ApiKey:
    consumer: str
    token: str
    secret: str = field(repr=False)
    name: str = ""


@frozen(kw_only=True)
class User:
    """`password_hash` is in Django's form, empty if MAAS kept none; `local` is false if somebody else authenticates."""

    id: str
    username: str
    email: str = ""
    full_name: str = ""
    is_admin: bool = False
    active: bool = True
    local: bool = True
    password_hash: str = field(default="", repr=False)
    ssh_keys: tuple[str, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()


@frozen(kw_only=True)
class Vlan:
    """`vid` 0 is untagged; an empty `space` is `undefined`."""

    id: str
    vid: int
    name: str = ""
    mtu: int = 1500
    fabric: str
    space: str = ""
    dhcp_on: bool = False
    description: str = ""


@frozen(kw_only=True)
class Subnet:
    """`managed` false: MAAS uses only the reserved ranges."""

    id: str
    cidr: str
    name: str = ""
    vlan_id: str
    gateway_ip: str = ""
    dns_servers: tuple[str, ...] = ()
    managed: bool = True
    allow_dns: bool = True
    allow_proxy: bool = True
    active_discovery: bool = False
    rdns_mode: int = 2
    description: str = ""


@frozen(kw_only=True)
class IpRange:
    """`type` is `dynamic` or `reserved`."""

    id: str
    subnet: str  # the CIDR
    type: str
    start_ip: str
    end_ip: str
    comment: str = ""


@frozen(kw_only=True)
class ReservedAddress:
    """An address that no machine of the inventory has as a link, and no new one may get. No two have the same `ip`.

    A person reserved it (`user`), DHCP gives it only `mac_address`, or something else in MAAS has it: `holder`.
    """

    ip: str
    subnet: str = ""  # the CIDR; empty: in no subnet
    mac_address: str = ""
    user: str = ""
    holder: str = ""  # the hostname of a machine of metal, a device, a controller, or of a VM whose bridge has it
    comment: str = ""


@frozen(kw_only=True)
class Fabric:
    id: str
    name: str
    class_type: str = ""
    description: str = ""


@frozen(kw_only=True)
class Domain:
    id: str
    name: str
    authoritative: bool = True
    ttl: int | None = None
    is_default: bool = False


@frozen(kw_only=True)
class DnsName:
    """A name that MAAS's DNS served besides those of machines: `addresses`, or records (`type`, `data`)."""

    id: str
    name: str
    domain: str
    addresses: tuple[str, ...] = ()
    type: str = ""
    data: str = ""
    ttl: int | None = None


@frozen(kw_only=True)
class Cluster:
    id: str
    name: str
    project: str = ""
    zone: str = ""  # empty: the source does not say it
    pool: str = ""


@frozen(kw_only=True)
class Host:
    """A VM host. `power_type` is `lxd` or `virsh`; the address is as a person typed it.

    `certificate`, `key` and `password` are PEM and the trust password or token (LXD); `power_pass` is libvirt's.
    `vault_paths`: secrets that are in HashiCorp Vault, so not here.
    """

    id: str
    name: str
    power_type: str
    power_address: str
    project: str = ""
    member: str = ""  # the name in the cluster, if the source has it
    cluster_id: str = ""
    zone: str = ""
    pool: str = ""
    tags: tuple[str, ...] = ()
    cpu_over_commit_ratio: float = 1.0
    memory_over_commit_ratio: float = 1.0
    default_storage_pool: str = ""
    default_macvlan_mode: str = ""
    architecture: str = ""
    hypervisor_version: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    power_pass: str = field(default="", repr=False)
    vault_paths: tuple[str, ...] = ()
    machine_system_id: str = ""  # the machine of MAAS that is this host
    complete: bool = True  # false: a database of 4.0, which lost the name, zone, pool and ratios


@frozen(kw_only=True)
class Link:
    """One address of a NIC. `mode` is that of the API: `auto`, `static`, `dhcp`, `link_up`. `ip` may be empty."""

    mode: str
    subnet: str = ""  # the CIDR
    ip: str = ""


@frozen(kw_only=True)
class Nic:
    """A physical interface of the machine's current configuration; the MAC address is normalised (`aa:bb:…`)."""

    name: str
    mac_address: str
    vlan_id: str = ""  # empty: disconnected
    enabled: bool = True
    links: tuple[Link, ...] = ()
    attachment: str = ""  # `network`, `bridge`, `macvlan`, `sriov`; empty: unknown
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class Disk:
    name: str
    size_bytes: int
    storage_pool: str = ""  # the name of a pool of the host; empty: unknown
    serial: str = ""
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class Machine:
    """A VM that MAAS composed or adopted. `instance` is the name of the LXD instance or libvirt domain, or its UUID.

    `status` is MAAS's number (`docs/reference/import-from-maas.md`). `owner_data` are what the API calls annotations.
    `dynamic`: composed by an allocation, and destroyed by a release; None if the source does not say it.
    `pinned_cores` (of the host) and `huge_pages` are None if MAAS does not know them.
    """

    system_id: str
    hostname: str
    domain: str = ""
    host_id: str
    instance: str
    project: str = ""
    status: int
    power_state: str = "unknown"
    architecture: str = ""
    owner: str = ""
    zone: str = ""
    pool: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    owner_data: tuple[tuple[str, str], ...] = ()
    locked: bool = False
    dynamic: bool | None = None
    cores: int = 0
    pinned_cores: tuple[int, ...] | None = None
    memory_mib: int = 0
    huge_pages: bool | None = None
    hardware_uuid: str = ""
    osystem: str = ""
    distro_series: str = ""
    nics: tuple[Nic, ...] = ()
    disks: tuple[Disk, ...] = ()


@frozen(kw_only=True)
class LeftOut:
    """Something that the source has and an import cannot take, with the reason in a sentence."""

    kind: str  # a key of the plan's objects, such as `machines`
    id: str
    name: str
    reason: str


@frozen(kw_only=True)
class Inventory:
    origin: Origin
    zones: tuple[Named, ...] = ()
    pools: tuple[Named, ...] = ()
    tags: tuple[Named, ...] = ()
    spaces: tuple[Named, ...] = ()
    fabrics: tuple[Fabric, ...] = ()
    vlans: tuple[Vlan, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    ranges: tuple[IpRange, ...] = ()
    reserved_addresses: tuple[ReservedAddress, ...] = ()
    domains: tuple[Domain, ...] = ()
    dns_names: tuple[DnsName, ...] = ()
    users: tuple[User, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    hosts: tuple[Host, ...] = ()
    machines: tuple[Machine, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
