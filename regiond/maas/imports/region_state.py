"""The objects that the region has already, by the names and addresses by which a plan recognises them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from common.serialization import from_dict
from regiond.db.pool import Db
from regiond.maas.imports import watched_store

_NAMES = "select 'zones' as kind, name from zone union all select 'pools', name from resource_pool"
_TAGS = "select name from tag"
_SPACES = "select name from space"
_VLANS = """
    select f.name as fabric, v.vid, v.id, v.mtu = 1500 and v.space_id is null and v.description = '' as untouched
      from fabric f join vlan v on v.fabric_id = f.id
"""
_FABRICS = "select name from fabric"
_SUBNETS = """
    select s.cidr::text as cidr, s.id, f.name as fabric, v.vid
      from subnet s join vlan v on v.id = s.vlan_id join fabric f on f.id = v.fabric_id
"""
_RANGES = "select host(start_ip) as first, host(end_ip) as last from ip_range where not discovered"
_DOMAINS = "select name from dns_domain"
_DNS_NAMES = "select n.name, d.name as domain from dns_name n join dns_domain d on d.id = n.domain_id"
_USERS = """
    select username, email, is_admin, created_at >= (select created_at from maas_import where id = $1) as came_since
      from account
"""
_HOSTS = """
    select h.id, h.name, h.driver, h.address, h.project, coalesce(h.cluster_id, 0) as cluster_id,
           coalesce(k.fingerprint, '') as certificate_fingerprint
      from vm_host h left join key_pair k on k.id = h.key_pair_id
"""
_CLUSTERS = "select id, name from cluster"
_MACHINES = """
    select m.system_id, m.hostname, coalesce(h.name, '') as host, coalesce(g.name, '') as guest,
           coalesce(g.guest_key, '') as guest_key
      from machine m left join vm_host h on h.id = m.host_id left join guest g on g.machine_id = m.id
"""
_GUESTS = """
    select h.id as host_id, g.name, g.guest_key, g.pinned_core_ids, g.huge_pages_backed
      from maas_import i join vm_host h on h.driver || ' ' || h.address || ' ' || h.project = any(i.host_keys)
      join guest g on g.server_id = h.server_id and (h.driver <> 'lxd' or g.project = h.project)
     where i.id = $1 and g.kind = 'vm'
"""
_DEVICES = "select hostname from device"
_SHARED = """
    select distinct key from maas_import, unnest(host_keys) as key
     where id <> $1 and $2 <> '' and coalesce(origin->>'uuid', '') not in ('', $2)
"""


@frozen(kw_only=True)
class KnownSubnet:
    id: int
    fabric: str
    vid: int


@frozen(kw_only=True)
class KnownUser:
    username: str
    email: str
    is_admin: bool
    came_since: bool | None = None  # since the MAAS was read; None: the import is not stored yet

    def is_of(self, email: str) -> bool:
        """Whether a user of MAAS with this e-mail address, or with none, is certainly this one."""
        return self.email.lower() == email.lower() and bool(email or self.came_since)


@frozen(kw_only=True)
class KnownHost:
    id: int
    name: str
    driver: str
    address: str  # normalised
    project: str
    cluster_id: int = 0  # 0: none
    certificate_fingerprint: str = ""  # of ours, which its LXD server trusts


@frozen(kw_only=True)
class KnownMachine:
    system_id: str
    hostname: str
    host: str
    guest: str
    guest_key: str = ""  # the hypervisor's id

    def is_guest(self, instance: str) -> bool:
        """Returns whether MAAS's name or UUID of a VM is that of the machine's; also if its guest is not listed now."""
        return self.guest in {instance, ""} or self.guest_key == instance.lower()


@frozen(kw_only=True)
class KnownGuest:
    """A VM as its host reported it last, managed or not."""

    pinned_cores: frozenset[int]
    huge_pages: bool


@frozen(kw_only=True)
class RegionState:
    zones: frozenset[str] = frozenset()
    pools: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    spaces: frozenset[str] = frozenset()
    fabrics: frozenset[str] = frozenset()
    vlans: Mapping[tuple[str, int], int] = {}  # ids by fabric and VID
    untouched_vlans: frozenset[tuple[str, int]] = frozenset()  # as a new fabric has its own
    subnets: Mapping[str, KnownSubnet] = {}  # by CIDR
    ranges: frozenset[tuple[str, str]] = frozenset()  # first and last address
    domains: frozenset[str] = frozenset()
    dns_names: frozenset[tuple[str, str]] = frozenset()  # name and domain
    users: Mapping[str, KnownUser] = {}
    hosts: tuple[KnownHost, ...] = ()
    clusters: Mapping[str, int] = {}  # ids by name
    machines: Mapping[str, KnownMachine] = {}  # by system id
    hostnames: frozenset[str] = frozenset()  # of machines and devices
    shared_hosts: frozenset[str] = frozenset()  # host keys that another MAAS had, too
    watched_elsewhere: Mapping[int, str] = {}  # the MAAS that is in charge by another import, by host id
    guests: Mapping[tuple[int, str], KnownGuest] = {}  # of the hosts of the import, by host id and name or key
    nodes_of_cores: Mapping[int, Mapping[int, int]] = {}  # NUMA nodes by host id and core id
    taken_hosts: frozenset[str] | None = None  # by id in MAAS, of which Innkeeper is in charge; None: of all

    def is_in_charge(self, source_id: str) -> bool:
        """Returns whether Innkeeper may act on the VMs of this host, by its id in MAAS."""
        return self.taken_hosts is None or source_id in self.taken_hosts

    def taking(self, source_id: str) -> RegionState:
        """Returns the state with this host taken over."""
        return self if self.taken_hosts is None else evolve(self, taken_hosts=self.taken_hosts | {source_id})

    def host_at(self, driver: str, address: str, project: str) -> KnownHost | None:
        wanted = (driver, address, project)
        return next((one for one in self.hosts if (one.driver, one.address, one.project) == wanted), None)


def host_key(driver: str, address: str, project: str) -> str:
    """Returns the text by which two installations recognise that they have the same host."""
    return f"{driver} {address} {project}"


async def read_state(db: Db, import_id: int, maas_uuid: str) -> RegionState:
    """Returns the state as of this transaction; `import_id` and `maas_uuid` are those of the import."""
    groups: dict[str, set[str]] = {"zones": set(), "pools": set()}
    for row in await db.fetch(_NAMES):
        groups[row["kind"]].add(row["name"])
    machines = [from_dict(dict(row), KnownMachine) for row in await db.fetch(_MACHINES)]
    vlans = await db.fetch(_VLANS)
    guests = await _guests(db, import_id)
    devices = [row["hostname"] for row in await db.fetch(_DEVICES)]
    return RegionState(
        zones=frozenset(groups["zones"]),
        pools=frozenset(groups["pools"]),
        tags=frozenset(row["name"] for row in await db.fetch(_TAGS)),
        spaces=frozenset(row["name"] for row in await db.fetch(_SPACES)),
        fabrics=frozenset(row["name"] for row in await db.fetch(_FABRICS)),
        vlans={(row["fabric"], row["vid"]): row["id"] for row in vlans},
        untouched_vlans=frozenset((row["fabric"], row["vid"]) for row in vlans if row["untouched"]),
        subnets={
            row["cidr"]: KnownSubnet(id=row["id"], fabric=row["fabric"], vid=row["vid"])
            for row in await db.fetch(_SUBNETS)
        },
        ranges=frozenset((row["first"], row["last"]) for row in await db.fetch(_RANGES)),
        domains=frozenset(row["name"] for row in await db.fetch(_DOMAINS)),
        dns_names=frozenset((row["name"], row["domain"]) for row in await db.fetch(_DNS_NAMES)),
        users={row["username"]: from_dict(dict(row), KnownUser) for row in await db.fetch(_USERS, import_id)},
        hosts=await read_hosts(db),
        clusters={row["name"]: row["id"] for row in await db.fetch(_CLUSTERS)},
        machines={one.system_id: one for one in machines},
        hostnames=frozenset([*(one.hostname for one in machines), *devices]),
        shared_hosts=frozenset(row["key"] for row in await db.fetch(_SHARED, import_id, maas_uuid)),
        guests=guests,
        nodes_of_cores=await watched_store.nodes_of_cores(db, {host_id for host_id, _ in guests}),
        watched_elsewhere=await watched_store.watched_elsewhere(db, import_id),
        taken_hosts=await watched_store.taken_hosts(db, import_id),
    )


async def read_hosts(db: Db) -> tuple[KnownHost, ...]:
    return tuple(from_dict(dict(row), KnownHost) for row in await db.fetch(_HOSTS))


async def _guests(db: Db, import_id: int) -> Mapping[tuple[int, str], KnownGuest]:
    found: dict[tuple[int, str], KnownGuest] = {}
    for row in await db.fetch(_GUESTS, import_id):
        guest = KnownGuest(pinned_cores=frozenset(row["pinned_core_ids"]), huge_pages=row["huge_pages_backed"])
        found |= {(row["host_id"], row["guest_key"]): guest, (row["host_id"], row["name"]): guest}
    return found
