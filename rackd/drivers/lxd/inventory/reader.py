"""Reads a whole LXD server in a number of requests that does not grow with its instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from attrs import field, frozen

from common.disks.volume_names import marker_of_artifact
from common.errors import DriverFailed, HostUnreachable, NotFound
from common.hosts.discovery import MarkerOnOtherMember, OrphanedVolume, Problem
from common.values import POOL_AVAILABLE, Guest
from rackd.drivers.lxd.connection.capabilities import capabilities_of, check_usable
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.dialect import Dialect, dialect_of
from rackd.drivers.lxd.connection.failures import NotAuthorized
from rackd.drivers.lxd.inventory.addresses import read_details
from rackd.drivers.lxd.inventory.clock import ahead_s, clock_problem
from rackd.drivers.lxd.inventory.facts import ServerResponses, check_member, member_of
from rackd.drivers.lxd.inventory.guests import function_ports, guest_of
from rackd.drivers.lxd.inventory.hardware import virtual_function_names
from rackd.drivers.lxd.inventory.networks import with_state
from rackd.drivers.lxd.inventory.ownership import (
    DEFAULT_PROJECT,
    id_of,
    is_unreadable,
    marker_of,
    one_of_each_id,
    without_replacements,
)
from rackd.drivers.lxd.inventory.placement_groups import read_groups
from rackd.drivers.lxd.inventory.pools import list_pools
from rackd.drivers.lxd.inventory.removal_facts import ephemeral_problem, snapshots_in_volumes
from rackd.drivers.lxd.inventory.server_memory import total_bytes_for
from rackd.drivers.lxd.inventory.volume_index import (
    Volume,
    VolumeIndex,
    parse_volume,
    usable_volumes,
    volume_projects_of,
)

_USABLE = "Created"  # LXD's word
_EVACUATED = "Evacuated"
_STANDBY = "standby"

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def read_server(client: Client, scope: Scope) -> ServerResponses:
    """Makes eight requests, one or two more in a cluster, one more while marked VMs run (with servers that list
    snapshots nowhere else: if there are marked VMs), one more if the memory of an instance is a percentage, two per
    storage pool (three in a cluster) and one per attachable interface.

    A certificate restricted to projects may not list all projects at once; then it makes one request per project.
    """
    server = client.server()
    can = check_usable(server, client.address.normalised)
    member = member_of(server, scope.member)
    members: Sequence[Json] = () if member is None else client.get(path("cluster", "members"), recursion="1")
    if member is not None:
        check_member(members, member)
    target = member or ""
    projects = visible_projects(client, scope.project)
    names = [str(project["name"]) for project in projects]
    instances = list_all_projects(client, "instances", names)
    check_readable(instances, member)
    profiles = client.get("profiles", recursion="1", project=scope.project)
    groups = read_groups(client, scope.project, exist=can.placement_groups and member is not None)
    pools = list_pools(client, projects=projects, profiles=profiles, instances=instances)
    contents = _read_pools(client, pools.pools, names, target)
    resources = client.get("resources", target=target)
    networks = client.get("networks", recursion="1", project=scope.project, target=target)
    interfaces = with_state(networks, virtual_function_names(resources))
    details = read_details(client, instances, scope, member, can)
    return ServerResponses(
        server=server,
        resources=resources,
        pools=pools.pools,
        pool_space=contents.space,
        pool_status=contents.status,
        networks=networks,
        network_states=states_of(client, interfaces, scope.project, target),
        projects=projects,
        profiles=profiles,
        members=members,
        member=member,
        placement_groups=groups.found,
        images=client.get("images", recursion="1", project=scope.project),
        instances=instances,
        volumes=contents.volumes,
        pools_with_volumes=contents.with_volumes,
        problems=[
            *evacuation_problems(members, member, client.dialect),
            *standby_problems(projects, scope.project, client.dialect),
            *pools.problems,
            *contents.problems,
            *groups.problems,
            *_clock_problems(client),
        ],
        addresses=details.addresses,
        snapshots={**snapshots_in_volumes(contents.volumes), **details.snapshots},
        memory_total_bytes=total_bytes_for(client, instances, target, resources, can),
    )


def evacuation_problems(members: Iterable[Json], member: str | None, dialect: Dialect) -> Iterable[Problem]:
    """Yields a problem if an administrator has evacuated this member of the cluster."""
    for one in members:
        if one.get("server_name") == member and str(one.get("status")) == _EVACUATED:
            yield Problem(
                subject=f"cluster member {member}",
                message=f"The cluster member is evacuated: no VM can be made or started on it, until: {dialect.client} "
                f"cluster restore {member}",
            )


def standby_problems(projects: Iterable[Json], project: str, dialect: Dialect) -> Iterable[Problem]:
    """Yields a problem if the host's project is the replica of one in another cluster."""
    for one in projects:
        if str(one["name"]) == project and one.get("replica_mode") == _STANDBY:
            yield Problem(
                subject=f"project {project}",
                message="The project is a standby replica of another cluster's: no VM can be made or started in it, "
                f"until, at a failover: {dialect.client} project promote-replica {project}",
            )


def _clock_problems(client: Client) -> Iterable[Problem]:
    problem = clock_problem(ahead_s(*client.date)) if client.date is not None else None
    return () if problem is None else (problem,)


@frozen
class _PoolContents:
    space: dict[str, Json] = field(factory=dict)
    status: dict[str, str] = field(factory=dict)  # of pools that are not available
    volumes: list[Volume] = field(factory=list)
    with_volumes: list[str] = field(factory=list)  # pools whose volumes are known
    problems: list[Problem] = field(factory=list)


def _read_pools(client: Client, pools: Iterable[Json], projects: Sequence[str], target: str) -> _PoolContents:
    contents = _PoolContents()
    for pool in pools:
        name = str(pool["name"])
        try:
            status = pool_status(client.get(path("storage-pools", name), target=target) if target else pool)
            if status == POOL_AVAILABLE:
                contents.space[name] = client.get(path("storage-pools", name, "resources"), target=target)
            else:
                contents.status[name] = status
                contents.problems.append(Problem.of_pool(name, status, _retried(client.dialect)))
            contents.volumes.extend(volumes_of_pool(client, name, projects, contents.problems))
            contents.with_volumes.append(name)
        except (DriverFailed, NotFound) as error:
            contents.problems.append(Problem(subject=name, message=f"Cannot read the storage pool: {error}"))
    return contents


def _retried(dialect: Dialect) -> str:
    return (
        f"{dialect.product} tries to make it available again by itself; see {dialect.client} storage info and the log "
        f"of {dialect.product}."
    )


def pool_status(pool: Json) -> str:
    """Returns the status of a pool on the server that answers; a listing of a cluster has that of the whole cluster."""
    status = str(pool.get("status") or _USABLE)
    return POOL_AVAILABLE if status == _USABLE else status.lower()


def states_of(client: Client, interfaces: Iterable[str], project: str, target: str) -> dict[str, Json]:
    """Returns states by interface name. Omits interfaces that were removed or cannot be read."""
    found = {}
    for name in interfaces:
        try:
            state: Json | None = client.find(path("networks", name, "state"), project=project, target=target)
        except (DriverFailed, NotAuthorized) as error:
            log.info("interface_not_read", interface=name, reason=str(error))
            continue
        if state is not None:
            found[name] = state
    return found


def check_readable(instances: Iterable[Json], member: str | None) -> None:
    """Raises HostUnreachable if LXD knows only the names of instances of `member` (None: of any member).

    LXD needs some time to detect that a member is offline; until then only this shows it.
    """
    for one in instances:
        if is_unreadable(one) and member in {None, one.get("location")}:
            raise HostUnreachable(
                f"The cluster member {one.get('location')} does not respond; the state of its instances is unknown."
            )


def visible_projects(client: Client, needed: str) -> list[Json]:
    """Returns the projects that the certificate may use. Raises NotFound if `needed` is not one of them."""
    found: list[Json] = client.get("projects", recursion="1")
    names = sorted(str(project["name"]) for project in found)
    if needed not in names:
        raise NotFound(
            f"{client.place} has no project '{needed}' that this certificate may use; it may use "
            f"{', '.join(names) or 'none'}.",
            project=needed,
        )
    return found


def list_all_projects(client: Client, where: str, projects: Iterable[str]) -> list[Json]:
    """Lists the objects of all projects."""
    query = {"recursion": "1"}
    try:
        found: list[Json] = client.get(where, **query, **{"all-projects": "true"})
    except NotAuthorized:
        found = [one for project in projects for one in client.get(where, **query, project=project)]
    return found


def volumes_of_pool(client: Client, pool: str, projects: Iterable[str], problems: list[Problem]) -> list[Volume]:
    found: dict[tuple[Any, ...], Volume] = {}  # projects can share volumes
    for response in list_all_projects(client, path("storage-pools", pool, "volumes"), projects):
        try:
            volume = parse_volume(response, pool)
        except ValueError as error:
            problems.append(
                Problem(subject=f"{pool}/{response['name']}", message=f"The volume's size is malformed: {error}.")
            )
            continue
        found[volume.project, volume.type, volume.name, volume.location] = volume
    return list(found.values())


def marked_elsewhere(responses: ServerResponses) -> Iterable[MarkerOnOtherMember]:
    """Yields the markers of instances on other cluster members, of any installation."""
    if responses.member is None:
        return
    for instance in one_of_each_id(without_replacements(responses.instances))[0]:
        marker = marker_of(instance)
        if marker is not None and not _is_here(instance, responses):
            yield MarkerOnOtherMember(marker=marker, member=str(instance.get("location") or ""))


def orphaned_volumes(responses: ServerResponses) -> Iterable[OrphanedVolume]:
    """Yields marked custom volumes that nothing uses: in a cluster those of this member and those that all members
    share.

    LXD reports the users of each volume: instances of any project, and profiles.
    """
    for volume in usable_volumes(responses.volumes, responses.projects):
        marker = marker_of_artifact(volume.name)
        if marker is None or volume.type != "custom":
            continue
        if volume.is_on(responses.member) and not volume.attached:
            yield OrphanedVolume(
                pool_id=volume.pool,
                name=volume.name,
                marker=marker,
                project=volume.project,
                size_bytes=volume.size_bytes,
            )


def guests_of(responses: ServerResponses) -> tuple[list[Guest], list[Problem]]:
    """Returns the instances of this server; in a cluster those of this member."""
    volumes = VolumeIndex.of(responses.volumes, volume_projects_of(responses.projects), responses.pools)
    ports, can = function_ports(responses.networks), capabilities_of(responses.server)
    instances, others = one_of_each_id(without_replacements(responses.instances))
    problems = [*responses.problems, *_same_id_problems(others, responses)]
    guests = []
    for instance in instances:
        if not _is_here(instance, responses) or is_unreadable(instance):
            continue
        key = str(instance.get("project") or DEFAULT_PROJECT), str(instance["name"])
        guest, found = guest_of(
            instance, volumes, ports, responses.addresses.get(key), can=can,
            snapshots=responses.snapshots.get(key, ()), memory_total_bytes=responses.memory_total_bytes,
        )  # fmt: skip
        guests.append(guest)
        problems += found
        problems += filter(None, [ephemeral_problem(instance, can.dialect)])
    return sorted(guests, key=lambda guest: (guest.project, guest.name)), problems


def _same_id_problems(
    others: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], responses: ServerResponses
) -> Iterable[Problem]:
    client = dialect_of(responses.server).client
    for one, counted in others:
        if _is_here(one, responses):
            name, project = str(one["name"]), str(one.get("project") or DEFAULT_PROJECT)
            yield Problem(
                subject=name,
                message=f"The instance has the same id as {counted['name']} ({id_of(one)}), as a restored backup has, "
                f"so only {counted['name']} is listed and counted. To give it an id of its own, copy it, then delete "
                f"it: {client} copy {name} NEW --project {project}",
            )


def _is_here(instance: Mapping[str, Any], responses: ServerResponses) -> bool:
    return responses.member is None or instance.get("location") == responses.member
