"""Affinity and anti-affinity groups: which hosts a machine must or should avoid because of its group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property

from attrs import define, evolve, field, frozen

from common.errors import InvalidRequest
from common.words.phrases import number_of
from regiond.placement.candidate import Candidate

MAX_GROUPS = 16
NAMED_MACHINES = 2  # a reason names so many machines of a group and counts the others
PENDING_NAME = "a new machine"  # being composed; its name may not be chosen yet

_RULE = re.compile(r"(?P<group>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?::(?P<strength>hard|soft))?")


class Policy(StrEnum):
    """The policy of all machines of a group."""

    AFFINITY = "affinity"  # on the same host
    ANTI_AFFINITY = "anti_affinity"  # each on another server

    @property
    def text(self) -> str:
        return self.value.replace("_", "-")


@frozen(kw_only=True)
class GroupRule:
    """A machine's membership in a group. If not `hard`, it is a preference."""

    group: str
    policy: Policy
    hard: bool = True

    @property
    def text(self) -> str:
        return f"{self.policy.text} group {self.group}"


@frozen(kw_only=True)
class GroupOnHost:
    """The machines of one group and resource pool on one host: their number, how many are hard members, some names.

    `pool_id` is the pool of the machines, not of the host. `names` has the hard members first. `sharing_host_ids` are
    all hosts of the same server.
    """

    group: str
    policy: Policy
    host_id: int
    host_name: str
    server_id: int | None
    pool_id: int
    machines: int
    hard: int
    names: tuple[str, ...]
    sharing_host_ids: tuple[int, ...] = ()


@define(frozen=True, slots=False)
class GroupMembers:
    """The hosts of the machines of groups: one row for each group, host and resource pool."""

    rows: tuple[GroupOnHost, ...] = ()

    def known_to(self, pool_ids: frozenset[int] | None) -> GroupMembers:
        """Returns the members for a request that may use these resource pools (None: all).

        Machines of others, which may have chosen the same name for a group, are in another group for it.
        """
        if pool_ids is None or not self.rows:
            return self
        if pool_ids not in self._known_to:
            self._known_to[pool_ids] = GroupMembers(tuple(row for row in self.rows if row.pool_id in pool_ids))
        return self._known_to[pool_ids]

    @cached_property
    def _known_to(self) -> dict[frozenset[int], GroupMembers]:
        return {}

    @cached_property
    def _by_group(self) -> Mapping[str, Sequence[GroupOnHost]]:
        found: dict[str, list[GroupOnHost]] = {}
        for row in sorted(self.rows, key=lambda row: row.host_id):
            found.setdefault(row.group, []).append(row)
        return found

    def of(self, group: str) -> Sequence[GroupOnHost]:
        """Returns the rows of the group in the order of their hosts."""
        return self._by_group.get(group, ())

    @cached_property
    def _by_server(self) -> Mapping[tuple[str, int], Sequence[GroupOnHost]]:
        found: dict[tuple[str, int], list[GroupOnHost]] = {}
        for row in sorted(self.rows, key=lambda row: row.host_id):
            found.setdefault((row.group, _server_key(row.server_id, row.host_id)), []).append(row)
        return found

    def on_server_of(self, group: str, host: Candidate) -> Sequence[GroupOnHost]:
        """Returns the rows of the group on the host and on the other hosts of its server, its own first."""
        rows = self._by_server.get((group, _server_key(host.server_id, host.id)), ())
        return sorted(rows, key=lambda row: row.host_id != host.id)

    def after(self, rules: Iterable[GroupRule], host: Candidate, name: str = PENDING_NAME) -> GroupMembers:
        """Returns the members as they are once a machine with these rules is on the host."""
        rows = {(row.group, row.host_id, row.pool_id): row for row in self.rows}
        for rule in rules:
            key = (rule.group, host.id, host.pool_id)
            before = rows.get(key) or GroupOnHost(
                group=rule.group, policy=rule.policy, host_id=host.id, host_name=host.name, server_id=host.server_id,
                pool_id=host.pool_id, machines=0, hard=0, names=(), sharing_host_ids=(host.id,),
            )  # fmt: skip
            names = (name, *before.names) if rule.hard else (*before.names, name)
            rows[key] = evolve(before, machines=before.machines + 1, hard=before.hard + rule.hard, names=names)
        return GroupMembers(tuple(rows.values()))

    def without(self, group: str, host_id: int, pool_id: int, *, hard: bool) -> GroupMembers:
        """Returns the members without one machine of the group and pool on the host; names are not changed."""
        rows = [
            evolve(row, machines=row.machines - 1, hard=row.hard - hard)
            if (row.group, row.host_id, row.pool_id) == (group, host_id, pool_id)
            else row
            for row in self.rows
        ]
        return GroupMembers(tuple(row for row in rows if row.machines))


NO_MEMBERS = GroupMembers()


def _server_key(server_id: int | None, host_id: int) -> int:
    """A host of which no server is known has a key of its own."""
    return -host_id if server_id is None else server_id


@frozen(kw_only=True)
class GroupStanding:
    """The verdict of a machine's groups on a host. `conflicts` counts machines with a preference it violates."""

    rejected: str | None = None
    unmet: tuple[str, ...] = ()
    conflicts: int = 0


@frozen(kw_only=True)
class GroupRestrictions:
    """The same for all hosts at once: those that are excluded, the only ones allowed (None: all), and preferences.

    A host with a lower weight is preferred; the weight of others is 0.
    """

    excluded_host_ids: frozenset[int] = frozenset()
    only_host_ids: frozenset[int] | None = None
    weights: Mapping[int, int] = field(factory=dict)


NO_STANDING = GroupStanding()


def parse_rules(affinity: Sequence[str], anti_affinity: Sequence[str]) -> tuple[GroupRule, ...]:
    """Returns the rules of `GROUP`, `GROUP:hard` and `GROUP:soft`. Raises InvalidRequest by field."""
    problems: dict[str, list[str]] = {}
    rules: dict[str, GroupRule] = {}
    for policy, texts in ((Policy.AFFINITY, affinity), (Policy.ANTI_AFFINITY, anti_affinity)):
        for text in texts:
            matched = _RULE.fullmatch(text)
            if matched is None:
                problem = (
                    f"'{text}' is not a group: use up to 64 letters, digits, '_', '.' and '-', and :soft for a "
                    "preference, such as web or web:soft."
                )
            elif matched["group"] in rules:
                problem = f"Group {matched['group']} is given more than once."
            else:
                rule = GroupRule(group=matched["group"], policy=policy, hard=matched["strength"] != "soft")
                rules[rule.group] = rule
                continue
            problems.setdefault(policy.value, []).append(problem)
    if len(rules) > MAX_GROUPS:
        problems["anti_affinity" if anti_affinity else "affinity"] = [
            f"A machine can be in {MAX_GROUPS} groups; these are {len(rules)}."
        ]
    if problems:
        raise InvalidRequest.of(problems)
    return tuple(rules.values())


def check_policies(rules: Iterable[GroupRule], members: GroupMembers) -> None:
    """Raises InvalidRequest by field for groups whose machines have the other policy."""
    problems: dict[str, list[str]] = {}
    for rule in rules:
        other = next((row for row in members.of(rule.group) if row.policy is not rule.policy), None)
        if other is not None:
            problems.setdefault(rule.policy.value, []).append(
                f"{rule.group} is an {other.policy.text} group ({_machines(other)} on {other.host_name}); "
                f"use {other.policy.value}={rule.group} or another group name."
            )
    if problems:
        raise InvalidRequest.of(problems)


def group_standing(rules: Sequence[GroupRule], host: Candidate, members: GroupMembers) -> GroupStanding:
    """Returns whether the host would violate a hard rule of the machine or of a member of its groups.

    A rule between two machines is hard if it is hard for one of them: otherwise a soft newcomer would break the promise
    to a hard member.
    """
    if not rules or not members.rows:
        return NO_STANDING
    unmet: list[str] = []
    conflicts = 0
    for rule in rules:
        against = _rows_against(rule, host, members)
        required = against if rule.hard else [row for row in against if row.hard]
        if required:
            return GroupStanding(rejected=_reason(rule, host, required[0]))
        if against:
            unmet.append(_reason(rule, host, against[0]))
            conflicts += sum(row.machines for row in against)
    return GroupStanding(unmet=tuple(unmet), conflicts=conflicts)


def group_restrictions(rules: Iterable[GroupRule], members: GroupMembers) -> GroupRestrictions:
    """Returns the decision of `group_standing` for all hosts, as sets of host ids that a query can use."""
    excluded: set[int] = set()
    only: frozenset[int] | None = None
    weights: dict[int, int] = {}
    for rule in rules:
        for row in members.of(rule.group):
            if rule.policy is Policy.ANTI_AFFINITY:
                for host_id in {row.host_id, *row.sharing_host_ids}:
                    weights[host_id] = weights.get(host_id, 0) + row.machines
                    if rule.hard or row.hard:
                        excluded.add(host_id)
            else:
                weights[row.host_id] = weights.get(row.host_id, 0) - row.machines
                if rule.hard or row.hard:
                    here = frozenset({row.host_id})
                    only = here if only is None else only & here
    return GroupRestrictions(excluded_host_ids=frozenset(excluded), only_host_ids=only, weights=weights)


def _rows_against(rule: GroupRule, host: Candidate, members: GroupMembers) -> Sequence[GroupOnHost]:
    """Returns the members with which the machine would conflict on the host."""
    if rule.policy is Policy.AFFINITY:
        return [row for row in members.of(rule.group) if row.host_id != host.id]
    return members.on_server_of(rule.group, host)


def _reason(rule: GroupRule, host: Candidate, row: GroupOnHost) -> str:
    required = (
        "" if rule.hard or not row.hard else f", which is a hard rule of {row.names[0] if row.names else 'another'}"
    )
    if rule.policy is Policy.AFFINITY:
        return f"{_machines(row)} of {rule.text} {'runs' if row.machines == 1 else 'run'} on {row.host_name}{required}"
    if row.host_id == host.id:
        return f"runs {_machines(row)} of {rule.text}{required}"
    return f"is on the same server as {row.host_name}, which runs {_machines(row)} of {rule.text}{required}"


def _machines(row: GroupOnHost) -> str:
    """Returns `web-1`, `web-1 and web-2`, `web-1, web-2 and 3 more`."""
    named = row.names[:NAMED_MACHINES]
    hidden = row.machines - len(named)
    if not named:
        return number_of(row.machines, "machine")
    if hidden > 0:
        return f"{', '.join(named)} and {hidden} more"
    return " and ".join(named)
