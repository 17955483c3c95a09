"""Reading a whole server in a number of requests that does not grow with its instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from attrs import frozen

from common.discovery import MarkElsewhere, Problem, UnusedVolume
from common.errors import DriverFailed, HostUnreachable, NotFound
from common.marks import mark_of_made
from common.values import Guest
from rackd.drivers.lxd.client import Client, Json, NotAuthorized, path
from rackd.drivers.lxd.devices import virtual_function_names
from rackd.drivers.lxd.facts import Answers, check_member, check_usable, member_of
from rackd.drivers.lxd.guests import (
    Volume,
    Volumes,
    function_ports,
    guest_of,
    homes_of,
    is_unreadable,
    mark_of,
    volume_of,
)
from rackd.drivers.lxd.networks import with_state

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Place:
    """Which part of a server a host is: one project, and in a cluster one member."""

    project: str
    member: str | None = None


def survey(client: Client, place: Place) -> Answers:
    """Seven requests, one more in a cluster, two for each storage pool, one for each interface that guests can be on.

    A certificate that is restricted to projects may not ask for all at once: then one for each of its projects.
    """
    server = client.server()
    check_usable(server, client.address.normalised)
    member = member_of(server, place.member)
    members: Sequence[Json] = () if member is None else client.get(path("cluster", "members"), recursion="1")
    if member is not None:
        check_member(members, member)
    target = member or ""
    projects = visible_projects(client, place.project)
    names = [str(project["name"]) for project in projects]
    instances = everywhere(client, "instances", names)
    check_readable(instances, member)
    pools = client.get("storage-pools", recursion="1")
    problems: list[Problem] = []
    pool_space = {}
    volumes: list[Volume] = []
    volumes_told: list[str] = []
    for pool in pools:
        name = str(pool["name"])
        try:
            pool_space[name] = client.get(path("storage-pools", name, "resources"), target=target)
            volumes += volumes_of_pool(client, name, names, problems)
            volumes_told.append(name)
        except (DriverFailed, NotFound) as error:
            problems.append(Problem(subject=name, message=f"The storage pool cannot be read: {error}"))
    resources = client.get("resources", target=target)
    networks = client.get("networks", recursion="1", project=place.project, target=target)
    interfaces = with_state(networks, virtual_function_names(resources))
    return Answers(
        server=server,
        resources=resources,
        pools=pools,
        pool_space=pool_space,
        networks=networks,
        network_states=states_of(client, interfaces, place.project, target),
        projects=projects,
        profiles=client.get("profiles", recursion="1", project=place.project),
        members=members,
        member=member,
        instances=instances,
        volumes=volumes,
        volumes_told=volumes_told,
        problems=problems,
    )


def states_of(client: Client, interfaces: Iterable[str], project: str, target: str) -> dict[str, Json]:
    """By name. Interfaces come and go while they are being asked about: of those nothing is told."""
    found = {}
    for name in interfaces:
        try:
            state: Json | None = client.find(path("networks", name, "state"), project=project, target=target)
        except (DriverFailed, NotAuthorized) as error:
            log.info("interface_not_told_of", interface=name, reason=str(error))
            continue
        if state is not None:
            found[name] = state
    return found


def check_readable(instances: Iterable[Json], member: str | None) -> None:
    """Raises HostUnreachable for instances of `member` (None: of any) that LXD names and cannot tell more of.

    LXD needs some time to see that a member is offline; until then only this shows it.
    """
    for one in instances:
        if is_unreadable(one) and member in {None, one.get("location")}:
            raise HostUnreachable(
                f"The cluster's member {one.get('location')} does not answer: nothing can be said of its instances."
            )


def visible_projects(client: Client, needed: str) -> list[Json]:
    """The projects that our certificate may see. NotFound when `needed` is not among them."""
    found: list[Json] = client.get("projects", recursion="1")
    names = sorted(str(project["name"]) for project in found)
    if needed not in names:
        raise NotFound(
            f"LXD at {client.address.normalised} has no project '{needed}' that our certificate may use; it shows "
            f"{', '.join(names) or 'none'}.",
            project=needed,
        )
    return found


def everywhere(client: Client, where: str, projects: Iterable[str]) -> list[Json]:
    """A listing over all projects."""
    query = {"recursion": "1"}
    try:
        found: list[Json] = client.get(where, **query, **{"all-projects": "true"})
    except NotAuthorized:
        found = [one for project in projects for one in client.get(where, **query, project=project)]
    return found


def volumes_of_pool(client: Client, pool: str, projects: Iterable[str], problems: list[Problem]) -> list[Volume]:
    found: dict[tuple[Any, ...], Volume] = {}  # projects may share their volumes
    for told in everywhere(client, path("storage-pools", pool, "volumes"), projects):
        try:
            volume = volume_of(told, pool)
        except ValueError as error:
            problems.append(Problem(subject=f"{pool}/{told['name']}", message=f"The volume's size: {error}."))
            continue
        found[volume.project, volume.type, volume.name, volume.location] = volume
    return list(found.values())


def marked_elsewhere(answers: Answers) -> Iterable[MarkElsewhere]:
    """What carries a mark on the other members of the cluster, whoever it belongs to."""
    for instance in answers.instances:
        member, mark = str(instance.get("location") or ""), mark_of(instance)
        if answers.member not in {None, member} and mark is not None:
            yield MarkElsewhere(mark=mark, member=member)


def unused_volumes(answers: Answers) -> Iterable[UnusedVolume]:
    """LXD says of each volume who uses it: instances of any project, and profiles. In a cluster those of this member,
    and those that all members reach."""
    for volume in answers.volumes:
        mark = mark_of_made(volume.name)
        here = answers.member is None or volume.location in {answers.member, "", "none"}
        if mark is not None and volume.type == "custom" and here and not volume.attached:
            yield UnusedVolume(
                pool_id=volume.pool, name=volume.name, mark=mark, project=volume.project, size_bytes=volume.size_bytes
            )


def guests_of(answers: Answers) -> tuple[list[Guest], list[Problem]]:
    """All instances of this server; in a cluster those of this member."""
    volumes = Volumes.of(answers.volumes, homes_of(answers.projects))
    ports = function_ports(answers.networks)
    guests, problems = [], list(answers.problems)
    for instance in answers.instances:
        elsewhere = answers.member is not None and instance.get("location") != answers.member
        if elsewhere or is_unreadable(instance):
            continue
        guest, found = guest_of(instance, volumes, ports)
        guests.append(guest)
        problems += found
    return sorted(guests, key=lambda guest: (guest.project, guest.name)), problems
