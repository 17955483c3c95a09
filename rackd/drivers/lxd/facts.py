"""What an LXD server said of itself becomes HostFacts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from common.discovery import Problem
from common.errors import HostUnreachable, NotFound, NotTrusted, Unsupported
from common.values import ClusterMember, Guest, HostFacts, HugePages, NumaNode, Profile, Project, StoragePool
from rackd.drivers.lxd import devices
from rackd.drivers.lxd.guests import DEBIAN_ARCHITECTURES, Volume
from rackd.drivers.lxd.networks import networks_of

Json = Mapping[str, Any]

REQUIRED = ("projects", "virtual-machines", "custom_block_volumes")
FIRST_VERSION = "4.16"
MIB, GIB = 1024**2, 1024**3
HOW_TO_TRUST = "lxc config trust add CERTIFICATE.crt --name NAME"

_GHZ = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*GHz", re.IGNORECASE)


@frozen(kw_only=True)
class Answers:
    """What the server answered. `pool_space` maps a pool's name to its `resources`, and leaves out unreadable ones.

    `network_states` has the state of interfaces of the server, by name.
    """

    server: Json
    resources: Json
    pools: Sequence[Json]
    pool_space: Mapping[str, Json]
    networks: Sequence[Json]
    projects: Sequence[Json]
    network_states: Mapping[str, Json] = field(factory=dict)
    profiles: Sequence[Json] = ()
    members: Sequence[Json] = ()
    member: str | None = None
    instances: Sequence[Json] = ()
    volumes: Sequence[Volume] = ()
    volumes_told: Sequence[str] = ()  # the storage pools whose volumes are known
    problems: Sequence[Problem] = field(factory=tuple)


def check_usable(server: Json, address: str) -> None:
    """Raises NotTrusted or Unsupported, saying what would help."""
    missing = [name for name in REQUIRED if name not in server.get("api_extensions", ())]
    if missing:
        raise Unsupported(
            f"LXD at {address} lacks the API extensions {', '.join(missing)}: it has to be {FIRST_VERSION} or newer."
        )
    if server.get("auth") != "trusted":
        raise NotTrusted(
            f"LXD at {address} does not trust our certificate (yet). On that server: {HOW_TO_TRUST} "
            "(--restricted --projects PROJECT limits it to a project)."
        )
    if "qemu" not in str(server["environment"].get("driver", "")):
        raise Unsupported(
            f"LXD at {address} cannot run virtual machines: it found no usable QEMU and KVM "
            f"(its drivers: {server['environment'].get('driver')})."
        )


def member_of(server: Json, wanted: str | None) -> str | None:
    """The cluster member that is meant: the one that answered unless another is wanted. None outside a cluster."""
    environment = server["environment"]
    if environment.get("server_clustered"):
        return wanted or str(environment["server_name"])
    if wanted is not None and wanted != environment.get("server_name"):
        raise NotFound(f"The server is in no cluster, so it has no member '{wanted}'.")
    return None


def check_member(members: Iterable[Json], member: str) -> None:
    """Raises NotFound for a member that the cluster does not know, HostUnreachable for one that is offline."""
    found = next((one for one in members if one.get("server_name") == member), None)
    if found is None:
        raise NotFound(f"The cluster has no member '{member}'.", member=member)
    if found.get("status") == "Offline":
        raise HostUnreachable(f"The cluster's member {member} is offline: {found.get('message')}.")


def server_identity(server: Json, member: str | None) -> str:
    fingerprint = server["environment"]["certificate_fingerprint"]
    return f"lxd:{fingerprint}" if member is None else f"lxd:{fingerprint}:{member}"


def facts_of(answers: Answers, guests: Iterable[Guest]) -> HostFacts:
    """`guests` are those of this server, in all projects."""
    environment = answers.server["environment"]
    nodes = numa_nodes(answers.resources)
    cards = devices.network_cards(answers.resources)
    kernel = str(environment["kernel_architecture"])
    return HostFacts(
        server_identity=server_identity(answers.server, answers.member),
        hypervisor_version=str(environment["server_version"]),
        architecture=DEBIAN_ARCHITECTURES.get(kernel, kernel),
        cores=sum(len(node.core_ids) for node in nodes) or int(answers.resources["cpu"]["total"]),
        memory_mib=sum(node.memory_mib for node in nodes) or int(answers.resources["memory"]["total"]) // MIB,
        cpu_speed_mhz=cpu_speed_mhz(answers.resources),
        numa_nodes=nodes,
        storage_pools=storage_pools(answers, tuple(guests)),
        networks=networks_of(
            answers.networks,
            devices.virtual_function_names(answers.resources),
            states=answers.network_states,
            cards=cards,
        ),
        profiles=profiles_of(answers.profiles),
        network_cards=cards,
        gpus=devices.gpus(answers.resources),
        extensions=tuple(answers.server["api_extensions"]),
        cluster_member=answers.member,
        cluster_members=tuple(sorted(map(_member, answers.members), key=lambda one: one.name)),
    )


def _member(told: Json) -> ClusterMember:
    address = str(told["url"]).removeprefix("https://")
    return ClusterMember(name=str(told["server_name"]), address=address, online=told.get("status") != "Offline")


def _cores(resources: Json) -> Iterable[list[Json]]:
    """The threads of each core that are online."""
    for socket in resources["cpu"].get("sockets") or ():
        for core in socket.get("cores") or ():
            yield [thread for thread in core.get("threads") or () if thread.get("online", True)]


def numa_nodes(resources: Json) -> tuple[NumaNode, ...]:
    """A server that tells no nodes has one with everything."""
    by_node: dict[int, list[tuple[int, ...]]] = {}
    for core in _cores(resources):
        for node_id in {int(thread.get("numa_node", 0)) for thread in core}:
            ids = (int(thread["id"]) for thread in core if int(thread.get("numa_node", 0)) == node_id)
            by_node.setdefault(node_id, []).append(tuple(sorted(ids)))
    memory = resources["memory"]
    page_bytes = int(memory.get("hugepages_size") or 0)
    told = memory.get("nodes") or [{"numa_node": node, **memory} for node in sorted(by_node)[:1]]
    memories = {int(node["numa_node"]): node for node in told}
    return tuple(
        NumaNode(
            node_id=node_id,
            core_ids=tuple(sorted(core_id for ids in by_node.get(node_id, ()) for core_id in ids)),
            memory_mib=int(memories.get(node_id, {}).get("total") or 0) // MIB,
            huge_pages=_huge_pages(memories.get(node_id, {}), page_bytes),
            siblings=tuple(sorted(by_node.get(node_id, ()))),
        )
        for node_id in sorted(by_node.keys() | memories.keys())
    )


def _huge_pages(node: Json, page_bytes: int) -> tuple[HugePages, ...]:
    if page_bytes < 1024:
        return ()
    total_bytes = int(node.get("hugepages_total") or 0)
    return (HugePages(size_kib=page_bytes // 1024, total=total_bytes // page_bytes),)


def cpu_speed_mhz(resources: Json) -> int | None:
    """From the model's name, else the turbo maximum, else the mean of what the cores run at now, to 100 MHz."""
    sockets = resources["cpu"].get("sockets") or ()
    for socket in sockets:
        if found := _GHZ.search(str(socket.get("name", ""))):
            return round(float(found[1]) * 1000)
    turbo = max((int(socket.get("frequency_turbo") or 0) for socket in sockets), default=0)
    if turbo:
        return turbo
    running = [
        int(core["frequency"]) for socket in sockets for core in socket.get("cores", ()) if core.get("frequency")
    ]
    return round(sum(running) / len(running) / 100) * 100 or None if running else None


def storage_pools(answers: Answers, guests: Sequence[Guest]) -> tuple[StoragePool, ...]:
    found = [
        StoragePool(
            pool_id=str(pool["name"]),
            name=str(pool["name"]),
            type=str(pool["driver"]),
            path=(pool.get("config") or {}).get("source") or "Unknown",
            total_bytes=int(answers.pool_space[pool["name"]]["space"].get("total") or 0),
            used_elsewhere_bytes=_used_elsewhere(answers, str(pool["name"]), guests),
        )
        for pool in answers.pools
        if pool["name"] in answers.pool_space
    ]
    return tuple(sorted(found, key=lambda pool: pool.name))


def _used_elsewhere(answers: Answers, pool: str, guests: Sequence[Guest]) -> int:
    """LXD tells how full the pool is and how large volumes are made, not how full those are.

    So this is at least what is full beyond all that guests were given, and at least the size of volumes that are
    attached to no guest; a pool of thin volumes on a file system with other files may have less room than it seems.
    """
    given = sum(disk.size_bytes for guest in guests for disk in guest.disks if disk.pool_id == pool)
    full = int(answers.pool_space[pool]["space"].get("used") or 0)
    loose = sum(
        volume.size_bytes
        for volume in answers.volumes
        if volume.pool == pool
        and volume.type == "custom"
        and not volume.attached
        and answers.member in {None, volume.location}
    )
    return -(-max(0, full - given, loose) // GIB) * GIB


def profiles_of(profiles: Iterable[Json]) -> tuple[Profile, ...]:
    found = [Profile(name=str(told["name"]), description=str(told.get("description") or "")) for told in profiles]
    return tuple(sorted(found, key=lambda profile: profile.name))


def projects_of(projects: Iterable[Json], guests: Iterable[Guest]) -> tuple[Project, ...]:
    """Each project with the sums of its guests, containers too."""
    by_project: dict[str, list[Guest]] = {}
    for guest in guests:
        by_project.setdefault(guest.project, []).append(guest)
    found = []
    for told in projects:
        own = by_project.get(str(told["name"]), [])
        found.append(
            Project(
                name=str(told["name"]),
                description=str(told.get("description") or ""),
                guests=len(own),
                cores=sum(guest.cores for guest in own),
                memory_mib=sum(guest.memory_mib for guest in own),
                storage_bytes=sum(disk.size_bytes for guest in own for disk in guest.disks),
            )
        )
    return tuple(sorted(found, key=lambda project: project.name))
