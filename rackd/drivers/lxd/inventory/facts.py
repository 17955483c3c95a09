"""Converts an LXD server's responses to HostFacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import field, frozen

from common.errors import HostUnreachable, NotFound
from common.hosts.discovery import ImageCopy, Problem
from common.values import (
    POOL_AVAILABLE,
    ClusterMember,
    Guest,
    HostFacts,
    HugePages,
    NumaNode,
    Profile,
    Project,
    StoragePool,
)
from rackd.drivers.architectures import debian_architecture
from rackd.drivers.lxd.connection.dialect import dialect_of
from rackd.drivers.lxd.inventory import hardware
from rackd.drivers.lxd.inventory.image_copies import copies_of, iso_copies_of, sha256_of_iso_volume
from rackd.drivers.lxd.inventory.networks import networks_of
from rackd.drivers.lxd.inventory.placement_groups import groups_of
from rackd.drivers.lxd.inventory.pool_usage import GuestStorage, guest_storage, storage_ids
from rackd.drivers.lxd.inventory.volume_index import Volume, usable_volumes

Json = Mapping[str, Any]

MIB, GIB = 1024**2, 1024**3

_GHZ = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*GHz", re.IGNORECASE)


@frozen(kw_only=True)
class ServerResponses:
    """The server's unparsed responses.

    `pool_space` maps the names of readable pools to their `resources`, `pool_status` those of pools that are not
    available to their status; `network_states` maps interface names to states.
    `addresses` has those of instances, by project and name, then by MAC address.
    """

    server: Json
    resources: Json
    pools: Sequence[Json]
    pool_space: Mapping[str, Json]
    pool_status: Mapping[str, str] = field(factory=dict)
    networks: Sequence[Json]
    projects: Sequence[Json]
    network_states: Mapping[str, Json] = field(factory=dict)
    profiles: Sequence[Json] = ()
    members: Sequence[Json] = ()
    member: str | None = None
    placement_groups: Sequence[Json] = ()
    instances: Sequence[Json] = ()
    volumes: Sequence[Volume] = ()
    images: Sequence[Json] = ()  # in the store of the host's project
    pools_with_volumes: Sequence[str] = ()  # storage pools whose volumes are known
    problems: Sequence[Problem] = field(factory=tuple)
    addresses: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = field(factory=dict)
    snapshots: Mapping[tuple[str, str], tuple[str, ...]] = field(factory=dict)  # of instances, by project and name
    memory_total_bytes: int = 0  # of the server; may be 0 if the memory of no instance is a percentage of it

    @cached_property
    def image_copies(self) -> tuple[ImageCopy, ...]:
        """The copies of images in the image store and in the storage pools."""
        volumes = usable_volumes(self.volumes, self.projects)
        return (*copies_of(self.images, volumes, self.member), *iso_copies_of(volumes, self.member))


def member_of(server: Json, wanted: str | None) -> str | None:
    """Returns the cluster member: `wanted`, else the one that responded. None outside a cluster."""
    environment = server["environment"]
    if environment.get("server_clustered"):
        return wanted or str(environment["server_name"])
    if wanted is not None and wanted != environment.get("server_name"):
        raise NotFound(f"The server is not in a cluster, so it has no member '{wanted}'.")
    return None


def check_member(members: Iterable[Json], member: str) -> None:
    """Raises NotFound for an unknown member, HostUnreachable for an offline one."""
    found = next((one for one in members if one.get("server_name") == member), None)
    if found is None:
        raise NotFound(f"The cluster has no member '{member}'.", member=member)
    if found.get("status") == "Offline":
        raise HostUnreachable(f"The cluster member {member} is offline: {found.get('message')}.")


def server_identity(server: Json, member: str | None) -> str:
    fingerprint = server["environment"]["certificate_fingerprint"]
    return f"lxd:{fingerprint}" if member is None else f"lxd:{fingerprint}:{member}"


def facts_of(responses: ServerResponses, guests: Iterable[Guest]) -> HostFacts:
    """`guests` has those of this server in all projects."""
    environment = responses.server["environment"]
    nodes = numa_nodes(responses.resources)
    devices = hardware.network_devices(responses.resources)
    return HostFacts(
        uefi_firmware=True,  # comes with LXD
        product=dialect_of(responses.server).product,
        server_identity=server_identity(responses.server, responses.member),
        hypervisor_version=str(environment["server_version"]),
        architecture=debian_architecture(str(environment["kernel_architecture"])),
        cores=core_count(responses.resources, nodes),
        memory_mib=sum(node.memory_mib for node in nodes) or int(responses.resources["memory"]["total"]) // MIB,
        cpu_speed_mhz=cpu_speed_mhz(responses.resources),
        numa_nodes=nodes,
        storage_pools=storage_pools(responses, tuple(guests)),
        networks=networks_of(
            responses.networks,
            hardware.virtual_function_names(responses.resources),
            states=responses.network_states,
            devices=devices,
        ),
        profiles=profiles_of(responses.profiles),
        network_devices=devices,
        gpus=hardware.gpus(responses.resources),
        extensions=tuple(responses.server["api_extensions"]),
        cluster_member=responses.member,
        cluster_members=tuple(sorted(map(_member, responses.members), key=lambda one: one.name)),
        placement_groups=groups_of(responses.placement_groups),
    )


def _member(response: Json) -> ClusterMember:
    address = str(response["url"]).removeprefix("https://")
    return ClusterMember(name=str(response["server_name"]), address=address, online=response.get("status") != "Offline")


def _cores(resources: Json) -> Iterable[list[Json]]:
    """Yields the online threads of each core."""
    for socket in resources["cpu"].get("sockets") or ():
        for core in socket.get("cores") or ():
            yield [thread for thread in core.get("threads") or () if thread.get("online", True)]


def core_count(resources: Json, nodes: Iterable[NumaNode]) -> int:
    """Returns the cores of the nodes; the server's total if it reports no single cores."""
    return sum(len(node.core_ids) for node in nodes) or int(resources["cpu"]["total"])


def numa_nodes(resources: Json) -> tuple[NumaNode, ...]:
    """Returns one node with everything if the server reports none."""
    by_node: dict[int, list[tuple[int, ...]]] = {}
    for core in _cores(resources):
        for node_id in {int(thread.get("numa_node", 0)) for thread in core}:
            ids = (int(thread["id"]) for thread in core if int(thread.get("numa_node", 0)) == node_id)
            by_node.setdefault(node_id, []).append(tuple(sorted(ids)))
    memory = resources["memory"]
    page_bytes = int(memory.get("hugepages_size") or 0)
    nodes = memory.get("nodes") or [{"numa_node": node, **memory} for node in sorted(by_node)[:1]]
    memories = {int(node["numa_node"]): node for node in nodes}
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
    """Returns the speed in the model's name, else the turbo maximum, else the current mean, rounded to 100 MHz."""
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


def storage_pools(responses: ServerResponses, guests: Sequence[Guest]) -> tuple[StoragePool, ...]:
    usable = [name for name in responses.pool_space]
    totals = {name: int(_space(responses, name).get("total") or 0) for name in usable}
    ids = storage_ids((one for one in responses.pools if one["name"] in responses.pool_space), totals)
    of_guests = guest_storage(guests, responses.instances)
    found = [
        StoragePool(
            pool_id=str(pool["name"]),
            name=str(pool["name"]),
            type=str(pool["driver"]),
            path=(pool.get("config") or {}).get("source") or "Unknown",
            total_bytes=int(_space(responses, str(pool["name"])).get("total") or 0),
            used_elsewhere_bytes=_used_elsewhere(responses, _sharing(str(pool["name"]), ids), of_guests),
            storage_id=ids.get(str(pool["name"]), ""),
            status=responses.pool_status.get(str(pool["name"]), POOL_AVAILABLE),
        )
        for pool in responses.pools
        if pool["name"] in responses.pool_space or pool["name"] in responses.pool_status
    ]
    return tuple(sorted(found, key=lambda pool: pool.name))


def _space(responses: ServerResponses, pool: str) -> Json:
    """Empty for a pool that is not available: LXD would answer with the space of what is there without it."""
    found: Json = responses.pool_space.get(pool, {}).get("space") or {}
    return found


def _sharing(pool: str, ids: Mapping[str, str]) -> frozenset[str]:
    """Returns the names of the pools on the storage of this one."""
    own = ids.get(pool, "")
    return frozenset({pool, *(name for name, one in ids.items() if own and one == own)})


def _used_elsewhere(responses: ServerResponses, pools: frozenset[str], of_guests: GuestStorage) -> int:
    """Returns the space of the pools, which share it, that is used by other than guests' disks, in whole GiB.

    LXD reports how full a pool is and the nominal size of volumes, but not the space they occupy. So this is a lower
    bound: the used space beyond all nominal sizes of guests' disks, or the size of unattached volumes. A thin pool on a
    file system with other files can have less space left than it seems. The volumes for the states of VMs are used.
    """
    states = sum(of_guests.states.get(pool, 0) for pool in pools)
    nominal = states + sum(of_guests.disks.get(pool, 0) for pool in pools)
    nominal += sum(copy.size_bytes for copy in responses.image_copies if copy.pool_id in pools)
    used = max(int(_space(responses, pool).get("used") or 0) for pool in pools)
    unattached = sum(
        volume.size_bytes
        for volume in responses.volumes
        if volume.pool in pools
        and volume.type == "custom"
        and not volume.attached
        and not sha256_of_iso_volume(volume)
        and responses.member in {None, volume.location}
    )
    return -(-(states + max(0, used - nominal, unattached)) // GIB) * GIB


def profiles_of(profiles: Iterable[Json]) -> tuple[Profile, ...]:
    found = [Profile(name=str(one["name"]), description=str(one.get("description") or "")) for one in profiles]
    return tuple(sorted(found, key=lambda profile: profile.name))


def projects_of(projects: Iterable[Json], guests: Iterable[Guest]) -> tuple[Project, ...]:
    """Returns each project with the resource sums of its guests, including containers."""
    by_project: dict[str, list[Guest]] = {}
    for guest in guests:
        by_project.setdefault(guest.project, []).append(guest)
    found = []
    for project in projects:
        own = by_project.get(str(project["name"]), [])
        found.append(
            Project(
                name=str(project["name"]),
                description=str(project.get("description") or ""),
                guests=len(own),
                cores=sum(guest.cores for guest in own),
                memory_mib=sum(guest.memory_mib for guest in own),
                storage_bytes=sum(disk.size_bytes for guest in own for disk in guest.disks),
            )
        )
    return tuple(sorted(found, key=lambda project: project.name))
