"""Every condition that needs attention: who sees it, and that the searches for VMs and hosts find the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from regiond.attention import store
from regiond.attention.model import EVERYTHING, AttentionKind, AttentionLimits, ObjectType
from regiond.db.pool import Db
from regiond.hosts.search import facts_store
from regiond.hosts.search.fields import HOST_FIELDS, matches, needs_of
from regiond.machines.searches.search import conditions as machine_conditions
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.search import MachineSearch
from regiond.requests.caller import Caller, PoolRole
from regiond.requests.search_query import parse
from tests.deployment.deployment import Deployment
from tests.integration.support.attention_conditions import CONDITIONS, Condition, Place, SeenBy
from tests.integration.support.two_pools import FOREIGN, NATIVE, OWNERS, TwoPools, two_pools

pytestmark = pytest.mark.database

LIMITS = AttentionLimits()
NOBODY = 987_654  # an account without anything
# The account that a condition of the other pool belongs to may see it; the role is one in the native pool.
_EXPECTED: Mapping[SeenBy, Mapping[str, Collection[str]]] = {
    SeenBy.POOL: {"administrator": (NATIVE, FOREIGN), "viewer": (NATIVE,), "operator elsewhere": (FOREIGN,)},
    SeenBy.OWNER: {
        "administrator": (NATIVE, FOREIGN), "viewer": (NATIVE,), "operator elsewhere": (FOREIGN,), "owner": (NATIVE,),
    },
    SeenBy.ACCOUNT: {"administrator": (NATIVE, FOREIGN), "owner": (NATIVE,)},
    SeenBy.ADMINS: {"administrator": (NATIVE, FOREIGN)},
}  # fmt: skip


async def places(innkeeper: Deployment, pools: TwoPools) -> dict[str, Place]:
    async with innkeeper.connection() as db:
        return {
            name: Place(
                host_id=one.host_id,
                system_id=one.system_id,
                account_id=await db.fetchval("select id from account where username = $1", OWNERS[name]),
            )
            for name, one in pools.contents.items()
        }


def callers(pools: TwoPools, at: Mapping[str, Place]) -> dict[str, Caller]:
    native, foreign = (pools.contents[name].pool_id for name in (NATIVE, FOREIGN))
    return {
        "administrator": Caller(account_id=NOBODY, username="root", is_admin=True),
        "viewer": Caller(account_id=NOBODY, username="vera", is_admin=False, grants={native: PoolRole.VIEWER}),
        "operator elsewhere": Caller(
            account_id=NOBODY, username="emil", is_admin=False, grants={foreign: PoolRole.OPERATOR}
        ),
        "owner": Caller(account_id=at[NATIVE].account_id, username="olga", is_admin=False),
        "stranger": Caller(account_id=NOBODY, username="eve", is_admin=False),
    }


async def objects(db: Db, condition: Condition, caller: Caller) -> set[str]:
    found = await store.read(db, EVERYTHING, LIMITS, per_kind=100, caller=caller)
    counted = await store.count(db, LIMITS, caller=caller)
    assert {kind: (one.count, one.broken) for kind, one in found.items()} == counted
    assert set(found) <= {condition.kind}
    return {
        one.object_id for group in found.values() for one in group.found if one.object_type is condition.object_type
    }


@asynccontextmanager
async def made(innkeeper: Deployment, condition: Condition, at: Collection[Place]) -> AsyncIterator[Db]:
    """A transaction in which the condition holds at these places, and which is rolled back."""
    async with innkeeper.region.components.database.transaction(dry_run=True) as db:
        for place in at:
            await condition.make(db, place)
        yield db


async def test_every_condition_is_seen_by_those_who_may_see_it(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    at = await places(innkeeper, pools)
    wrong: list[object] = []
    for name, condition in CONDITIONS.items():
        for where in (NATIVE, FOREIGN):
            async with made(innkeeper, condition, [at[where]]) as db:
                for role, caller in callers(pools, at).items():
                    found = await objects(db, condition, caller)
                    if bool(found) != (where in _EXPECTED[condition.seen_by].get(role, ())):
                        wrong.append((name, where, role, found))
    assert wrong == []


@pytest.mark.slow
async def test_searches_find_what_needs_attention(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    at = (await places(innkeeper, pools))[NATIVE]
    wrong: list[object] = []
    for name, condition in CONDITIONS.items():
        async with made(innkeeper, condition, [at]) as db:
            if await searched(db) != await listed(db):
                wrong.append((name, await searched(db), await listed(db)))
    assert wrong == []


async def listed(db: Db) -> set[tuple[ObjectType, str]]:
    found = await store.read(db, EVERYTHING, LIMITS, per_kind=100)
    return {
        (one.object_type, one.object_id)
        for group in found.values()
        for one in group.found
        if one.object_type in {ObjectType.VM, ObjectType.HOST}
    }


async def searched(db: Db) -> set[tuple[ObjectType, str]]:
    query = parse("is:attention", MACHINE_FIELDS)
    parameters = machine_conditions.parameters(MachineSearch(query=query), None)
    rows = await db.fetch(f"select m.system_id {machine_conditions.FROM} {machine_conditions.WHERE}", *parameters)
    query = parse("is:attention", HOST_FIELDS)
    hosts = await facts_store.facts(db, needs_of(query), stale_after=timedelta(seconds=LIMITS.stale_after_s))
    return {(ObjectType.VM, row["system_id"]) for row in rows} | {
        (ObjectType.HOST, str(host.id)) for host in hosts if matches(query, host)
    }


def test_every_kind_that_is_read_has_a_condition() -> None:
    in_memory = {AttentionKind.QUOTA_FULL}
    assert {one.kind for one in CONDITIONS.values()} | in_memory == set(AttentionKind)
