"""Finds the memberships of groups that are violated now, and the machines that violate them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from regiond.machines.values.model import AffinityMembership
from regiond.placement.affinity import Policy

MAX_VIOLATIONS = 10  # names in a membership


@frozen(kw_only=True)
class GroupedMachine:
    """A machine in one of its groups. Without a host it conflicts with nothing."""

    machine_id: int
    group: str
    policy: Policy
    hard: bool
    hostname: str
    host_id: int | None
    server_id: int | None

    @property
    def place(self) -> tuple[str, int | None]:
        """The place that the policy compares: the server, if known, for anti-affinity; the host for affinity."""
        if self.policy is Policy.ANTI_AFFINITY and self.server_id is not None:
            return ("server", self.server_id)
        return ("host", self.host_id)


def memberships(
    grouped: Iterable[GroupedMachine], machine_ids: Collection[int]
) -> Mapping[int, tuple[AffinityMembership, ...]]:
    """Returns the memberships of `machine_ids`, in the order of group names; `grouped` has all of the groups."""
    groups: dict[str, list[GroupedMachine]] = defaultdict(list)
    for one in grouped:
        groups[one.group].append(one)
    found: dict[int, list[AffinityMembership]] = defaultdict(list)
    for _, members in sorted(groups.items()):
        by_place: dict[tuple[str, int | None], list[GroupedMachine]] = defaultdict(list)
        for one in members:
            if one.host_id is not None:
                by_place[one.place].append(one)
        for one in members:
            if one.machine_id in machine_ids:
                found[one.machine_id].append(_membership(one, by_place))
    return {machine_id: tuple(each) for machine_id, each in found.items()}


def _membership(
    one: GroupedMachine, by_place: Mapping[tuple[str, int | None], Collection[GroupedMachine]]
) -> AffinityMembership:
    violated_by: list[str] = []
    if one.host_id is not None:
        for place, members in by_place.items():
            if (place == one.place) is (one.policy is Policy.ANTI_AFFINITY):
                others = (other.hostname for other in members if other.machine_id != one.machine_id)
                violated_by += [name for name, _ in zip(others, range(MAX_VIOLATIONS), strict=False)]
    return AffinityMembership(
        group=one.group, policy=one.policy, hard=one.hard, violated_by=tuple(sorted(violated_by)[:MAX_VIOLATIONS])
    )
