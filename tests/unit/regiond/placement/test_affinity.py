"""Affinity and anti-affinity groups against an oracle that compares every pair of machines."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.placement.affinity import (
    NO_MEMBERS,
    GroupMembers,
    GroupOnHost,
    GroupRule,
    Policy,
    check_policies,
    group_restrictions,
    group_standing,
    parse_rules,
)
from regiond.placement.candidate import Candidate
from regiond.placement.model import PendingClaim, explain
from regiond.placement.ranking import place, place_sequentially, with_pending_members
from regiond.placement.requirements import Requirements
from tests.unit.support.candidates import HOST, SMALL, storage_pool

POLICIES = {"db": Policy.AFFINITY, "near": Policy.AFFINITY, "web": Policy.ANTI_AFFINITY, "apart": Policy.ANTI_AFFINITY}


@frozen
class Placed:
    """A machine on a host."""

    name: str
    rules: tuple[GroupRule, ...]
    host: Candidate


def hosts_of(random: Random, number: int = 6) -> list[Candidate]:
    """Some hosts share a server."""
    return [
        evolve(
            HOST, id=id_, name=f"host{id_}", server_id=random.randint(1, number), cores=random.choice((2, 8)),
            storage_pools=(storage_pool(id_),),
        )
        for id_ in range(1, number + 1)
    ]  # fmt: skip


def rules_of(random: Random) -> tuple[GroupRule, ...]:
    groups = random.sample(sorted(POLICIES), random.randint(0, 3))
    return tuple(GroupRule(group=one, policy=POLICIES[one], hard=random.random() < 0.6) for one in groups)


def members_of(placed: list[Placed]) -> GroupMembers:
    rows: dict[tuple[str, int], GroupOnHost] = {}
    for one in placed:
        for rule in one.rules:
            before = rows.get((rule.group, one.host.id))
            rows[rule.group, one.host.id] = GroupOnHost(
                group=rule.group, policy=rule.policy, host_id=one.host.id, host_name=one.host.name,
                server_id=one.host.server_id, pool_id=0, machines=1 + (before.machines if before else 0),
                hard=rule.hard + (before.hard if before else 0),
                names=(one.name,) if before is None else (one.name, *before.names) if rule.hard
                else (*before.names, one.name),
            )  # fmt: skip
    return GroupMembers(tuple(rows.values()))


def contradictions(rules: tuple[GroupRule, ...], host: Candidate, placed: list[Placed]) -> tuple[int, int]:
    """Returns with how many machines the host would contradict a hard rule, and with how many only soft ones."""
    hard = soft = 0
    for one in placed:
        for rule in rules:
            for other in one.rules:
                if rule.group != other.group:
                    continue
                apart = host.id != one.host.id and host.server_id != one.host.server_id
                contradicts = host.id != one.host.id if rule.policy is Policy.AFFINITY else not apart
                hard += contradicts and (rule.hard or other.hard)
                soft += contradicts and not (rule.hard or other.hard)
    return hard, soft


@settings(max_examples=300)
@given(random=st.randoms(use_true_random=True))
def test_a_host_is_rejected_only_for_a_contradicted_hard_rule(random: Random) -> None:
    hosts = hosts_of(random)
    placed = [Placed(f"m{number}", rules_of(random), random.choice(hosts)) for number in range(random.randint(0, 8))]
    rules, members = rules_of(random), members_of(placed)
    restrictions = group_restrictions(rules, members)
    weights = {}
    for host in hosts:
        hard, soft = contradictions(rules, host, placed)
        standing = group_standing(rules, host, members)
        assert (standing.rejected is not None) == (hard > 0), host
        excluded = host.id in restrictions.excluded_host_ids or (
            restrictions.only_host_ids is not None and host.id not in restrictions.only_host_ids
        )
        if not any(one.host.server_id == host.server_id and one.host.id != host.id for one in placed):
            assert excluded == (hard > 0)  # `sharing_host_ids` is empty here
        if not hard:
            assert (standing.conflicts > 0) == (soft > 0) == bool(standing.unmet)
            weights[host.id] = standing.conflicts
    placement = place(evolve(SMALL, groups=rules), hosts, members=members)
    if placement.chosen is not None:
        fitting = [weights[one.host_id] for one in placement.ranked]
        assert fitting == sorted(fitting)
    assert all(one.reasons for one in placement.rejected)


@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True))
def test_machines_placed_one_by_one_never_contradict_a_hard_rule(random: Random) -> None:
    hosts = hosts_of(random)
    placed: list[Placed] = []
    for number in range(8):
        rules = rules_of(random)
        chosen = place(evolve(SMALL, groups=rules), random.sample(hosts, len(hosts)), members=members_of(placed)).chosen
        if chosen is not None:
            placed.append(Placed(f"m{number}", rules, hosts[chosen.host_id - 1]))
    for number, one in enumerate(placed):
        assert contradictions(one.rules, one.host, placed[:number])[0] == 0


@settings(max_examples=100)
@given(random=st.randoms(use_true_random=True))
def test_equal_machines_of_groups_are_placed_as_if_one_by_one(random: Random) -> None:
    hosts, rules = hosts_of(random), rules_of(random)
    wanted = evolve(SMALL, groups=rules)
    placements = place_sequentially(wanted, hosts, 6)
    placed = [Placed("new", rules, hosts[one.chosen.host_id - 1]) for one in placements if one.chosen is not None]
    for number, one in enumerate(placed):
        assert contradictions(rules, one.host, placed[:number])[0] == 0
    members = NO_MEMBERS
    for before, _ in pairwise(placements):
        assert before.chosen is not None
        pending = PendingClaim(requirements=wanted, evaluation=before.chosen, host=hosts[before.chosen.host_id - 1])
        members = with_pending_members(members, [pending])
    assert all(row.machines for row in members.rows)


def reasons(rules: tuple[GroupRule, ...], host: Candidate, placed: list[Placed]) -> tuple[str, ...]:
    placement = place(evolve(SMALL, groups=rules), [host], members=members_of(placed))
    return placement.rejected[0].reasons if placement.rejected else placement.ranked[0].unmet


A = evolve(HOST, server_id=1)
B = evolve(HOST, id=2, name="b", server_id=2)
PROJECT_OF_A = evolve(HOST, id=3, name="a-project", server_id=1)


@pytest.mark.parametrize(
    ("affinity", "anti_affinity", "member", "host", "expected"),
    [
        ("", "web", "web", A, "runs web-1 of anti-affinity group web"),
        ("", "web", "web", PROJECT_OF_A, "is on the same server as a, which runs web-1 of anti-affinity group web"),
        ("", "web:soft", "web:soft", A, "runs web-1 of anti-affinity group web"),
        ("", "web:soft", "web", A, "runs web-1 of anti-affinity group web, which is a hard rule of web-1"),
        ("", "web", "web", B, None),
        ("db", "", "db", B, "web-1 of affinity group db runs on a"),
        ("db", "", "db", PROJECT_OF_A, "web-1 of affinity group db runs on a"),
        ("db", "", "db", A, None),
    ],
)
def test_a_reason_names_machine_host_and_group(
    affinity: str, anti_affinity: str, member: str, host: Candidate, expected: str | None
) -> None:
    member_rules = parse_rules((member,), ()) if affinity else parse_rules((), (member,))
    rules = parse_rules((affinity,) if affinity else (), (anti_affinity,) if anti_affinity else ())
    assert reasons(rules, host, [Placed("web-1", member_rules, A)]) == ((expected,) if expected else ())


def test_a_reason_counts_the_machines_that_it_does_not_name() -> None:
    rules = parse_rules((), ("web:soft",))
    placed = [Placed(f"web-{number}", rules, A) for number in range(1, 6)]
    assert reasons(rules, A, placed) == ("runs web-1, web-2 and 3 more of anti-affinity group web",)
    explained = explain(place(evolve(SMALL, groups=rules), [A, B], members=members_of(placed)))
    assert [(one["host"], len(one["unmet"])) for one in explained["fitting"]] == [("b", 0), ("a", 1)]


def test_the_first_machine_of_a_group_may_be_on_any_host() -> None:
    wanted: Requirements = evolve(SMALL, groups=parse_rules(("db",), ("web",)))
    assert len(place(wanted, [A, B]).ranked) == 2


def test_a_hard_affinity_group_on_two_hosts_rejects_every_host() -> None:
    """Updates and cluster moves can split a group; then no host is that of all its machines."""
    rules = parse_rules(("db",), ())
    placed = [Placed("db-1", rules, A), Placed("db-2", rules, B)]
    assert reasons(rules, A, placed) == ("db-2 of affinity group db runs on b",)
    assert reasons(rules, B, placed) == ("db-1 of affinity group db runs on a",)
    assert group_restrictions(rules, members_of(placed)).only_host_ids == frozenset()


@pytest.mark.parametrize(
    ("affinity", "anti_affinity", "fields"),
    [
        (("a b",), (), {"affinity"}),
        ((), ("web:softly",), {"anti_affinity"}),
        ((), (":soft",), {"anti_affinity"}),
        (("db",), ("db:soft",), {"anti_affinity"}),
        (("db", "db:soft"), (), {"affinity"}),
        ((), tuple(f"g{number}" for number in range(17)), {"anti_affinity"}),
        (("x" * 65,), (), {"affinity"}),
    ],
)
def test_wrong_groups_are_rejected_by_field(
    affinity: tuple[str, ...], anti_affinity: tuple[str, ...], fields: set[str]
) -> None:
    with pytest.raises(InvalidRequest) as rejected:
        parse_rules(affinity, anti_affinity)
    assert rejected.value.fields.keys() == fields


def test_a_group_has_one_policy_while_it_has_machines() -> None:
    members = members_of([Placed("web-1", parse_rules((), ("web",)), A)])
    with pytest.raises(InvalidRequest, match="web") as rejected:
        check_policies(parse_rules(("web",), ()), members)
    assert rejected.value.fields == {
        "affinity": ["web is an anti-affinity group (web-1 on a); use anti_affinity=web or another group name."]
    }
    check_policies(parse_rules((), ("web:soft",)), members)
    check_policies(parse_rules(("web",), ()), NO_MEMBERS)
