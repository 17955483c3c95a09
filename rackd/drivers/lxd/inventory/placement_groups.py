"""Placement groups of a project of a cluster, as LXD answers with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from common.errors import DriverFailed, NotFound, NotTrusted
from common.hosts.discovery import Problem
from common.placement_groups import PlacementGroup
from rackd.drivers.lxd.connection.client import Client

Json = Mapping[str, Any]

_INSTANCE = "/1.0/instances/"


@frozen
class GroupResponses:
    """`found` as the server sent them. Nothing depends on groups, so one that is not readable is only a problem."""

    found: Sequence[Json] = ()
    problems: Sequence[Problem] = field(factory=tuple)


def read_groups(client: Client, project: str, *, exist: bool) -> GroupResponses:
    """Makes one request, or none if the server has no groups."""
    if not exist:
        return GroupResponses()
    try:
        return GroupResponses(client.get("placement-groups", recursion="1", project=project))
    except (DriverFailed, NotFound, NotTrusted) as error:
        problem = Problem(subject="placement groups", message=f"Cannot read the placement groups: {error}")
        return GroupResponses(problems=(problem,))


def groups_of(responses: Iterable[Json]) -> tuple[PlacementGroup, ...]:
    """Returns the groups by name."""
    return tuple(sorted(map(_group, responses), key=lambda group: group.name))


def _group(response: Json) -> PlacementGroup:
    config = response.get("config") or {}
    return PlacementGroup(
        name=str(response["name"]),
        description=str(response.get("description") or ""),
        policy=str(config.get("policy") or ""),
        rigor=str(config.get("rigor") or ""),
        instances=sum(str(used).startswith(_INSTANCE) for used in response.get("used_by") or ()),
    )
