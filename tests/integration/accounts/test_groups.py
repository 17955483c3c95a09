"""Zones and resource pools."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NotAllowed, NotFound
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.groups.model import PoolChange, ResourcePool, Zone, check_group
from regiond.groups.service import Groups
from regiond.requests.caller import Caller
from tests.integration.support.tables import lock_waiters
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(account_id=2, username="user", is_admin=False)


HOST = """
    insert into vm_host (name, driver, address, zone_id, pool_id, system_id)
    values ('local', 'virsh', 'qemu:///system', $1, $2, 'abc')
"""
MACHINE = """
    insert into machine (uuid, system_id, hostname, zone_id, pool_id, state, architecture, cores, memory_mib)
    values (gen_random_uuid(), 'def', 'vm1', $1, $2, 'ready', 'amd64', 1, 1024)
"""

CLUSTER = """
    insert into cluster (name, identity, project, zone_id, pool_id) values ('lxd', 'sha', 'default', $1, $2)
"""
_ZONES_IN_USE = """
    select zone_id from vm_host union select zone_id from machine union select zone_id from cluster
"""


@pytest.fixture
def groups(database: Database) -> Groups:
    return Groups(database)


async def test_a_new_database_has_the_defaults(groups: Groups) -> None:
    assert await groups.zones() == (Zone(id=1, name="default", description=""),)
    assert await groups.pools() == (ResourcePool(id=0, name="default", description="Default pool"),)


async def test_a_zone_is_created_read_renamed_and_deleted(groups: Groups) -> None:
    created = await groups.create_zone(ADMIN, "rack 1-a", "first row")
    assert created.id >= 2
    assert await groups.zone("rack 1-a") == created
    assert [zone.name for zone in await groups.zones()] == ["default", "rack 1-a"]
    renamed = await groups.update_zone(ADMIN, "rack 1-a", new_name="renamed")
    assert renamed == Zone(id=created.id, name="renamed", description="first row")
    assert (await groups.update_zone(ADMIN, "renamed", description="")).description == ""
    await groups.delete_zone(ADMIN, "renamed")
    with pytest.raises(NotFound, match="renamed"):
        await groups.zone("renamed")


async def test_deleting_an_unknown_zone_succeeds_and_changing_it_fails(groups: Groups) -> None:
    for name in ("nowhere", "", "a\0b"):
        await groups.delete_zone(ADMIN, name)
        with pytest.raises(NotFound):
            await groups.update_zone(ADMIN, name, description="x")


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ((HOST,), "1 VM host"),
        ((MACHINE,), "1 machine"),
        ((CLUSTER,), "1 VM cluster"),
        ((HOST, MACHINE, CLUSTER), "1 machine, 1 VM host and 1 VM cluster"),
    ],
    ids=["host", "machine", "cluster", "all"],
)
async def test_a_zone_in_use_cannot_be_deleted(
    database: Database, groups: Groups, members: tuple[str, ...], text: str
) -> None:
    zone = await groups.create_zone(ADMIN, "north", "")
    for member in members:
        await add(database, member, zone_id=zone.id)
    with pytest.raises(InvalidRequest, match=f"Zone 'north' has {text} in it, it cannot be deleted.*move_to=ZONE"):
        await groups.delete_zone(ADMIN, "north")
    assert await groups.zone("north") == zone
    assert await zones_in_use(database) == {zone.id}


async def test_members_of_a_deleted_zone_move_to_the_named_zone(database: Database, groups: Groups) -> None:
    zone, target = [await groups.create_zone(ADMIN, name, "") for name in ("north", "south")]
    for member in (HOST, MACHINE, CLUSTER):
        await add(database, member, zone_id=zone.id)
    for wrong in ("nowhere", "north", "a\0b", ""):
        assert [*await invalid_fields(groups.delete_zone(ADMIN, "north", move_to=wrong))] == ["move_to"]
    assert await zones_in_use(database) == {zone.id}
    await groups.delete_zone(ADMIN, "north", move_to="south")
    assert await zones_in_use(database) == {target.id}
    (event, *_) = await Events(database).list()
    assert event.message == (
        "The zone 'north' was deleted; 1 machine, 1 VM host and 1 VM cluster moved to the zone 'south'."
    )
    await groups.delete_zone(ADMIN, "north", move_to="nowhere")
    await groups.delete_zone(ADMIN, "south", move_to="default")
    assert await zones_in_use(database) == {1}


async def test_zones_deleted_into_each_other_leave_one(database: Database, groups: Groups) -> None:
    pair = ("north", "south")
    for name in pair:
        await groups.create_zone(ADMIN, name, "")
    await add(database, HOST, zone_id=(await groups.zone("north")).id)
    deletions = (groups.delete_zone(ADMIN, name, move_to=other) for name, other in (pair, pair[::-1]))
    results = await asyncio.gather(*deletions, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["DeletionPlan", "InvalidRequest"]
    assert len(await groups.zones()) == 2


async def test_the_defaults_cannot_be_deleted(groups: Groups) -> None:
    with pytest.raises(InvalidRequest, match=r"This zone is the default zone, it cannot be deleted\."):
        await groups.delete_zone(ADMIN, "default")
    for name in ("default", "0"):
        with pytest.raises(InvalidRequest, match="default pool"):
            await groups.delete_pool(ADMIN, name)


async def test_a_pool_is_found_by_id_before_name(groups: Groups) -> None:
    created = await groups.create_pool(ADMIN, PoolChange(name="gold", description="fast disks"))
    assert await groups.pool("gold") == await groups.pool(str(created.id)) == created
    assert (await groups.pool("0")).name == "default"
    named_like_an_id = await groups.create_pool(ADMIN, PoolChange(name=str(created.id)))
    assert await groups.pool(str(created.id)) == created
    assert await groups.pool(str(named_like_an_id.id)) == named_like_an_id
    for unknown in ("silver", "99", "", "99999999999999999999", "a\0b"):
        with pytest.raises(NotFound):
            await groups.pool(unknown)


async def test_a_pool_is_changed_by_id_and_deleted_by_name(groups: Groups) -> None:
    created = await groups.create_pool(ADMIN, PoolChange(name="gold"))
    assert (await groups.update_pool(ADMIN, str(created.id), PoolChange(name="silver"))).name == "silver"
    assert (await groups.update_pool(ADMIN, str(created.id), PoolChange(strategy="pack"))).strategy == "pack"
    assert (await groups.update_pool(ADMIN, str(created.id), PoolChange(description="x"))).strategy == "pack"
    assert (await groups.update_pool(ADMIN, str(created.id), PoolChange(strategy=""))).strategy is None
    assert (await groups.create_pool(ADMIN, PoolChange(name="spreading", strategy="spread"))).strategy == "spread"
    await groups.delete_pool(ADMIN, "silver")
    with pytest.raises(NotFound):
        await groups.delete_pool(ADMIN, "silver")


async def test_concurrent_changes_of_different_fields_both_remain(database: Database, groups: Groups) -> None:
    await groups.create_pool(ADMIN, PoolChange(name="gold"))
    async with database.transaction() as db:
        await db.execute("update resource_pool set description = 'x' where name = 'gold'")
        waiting = asyncio.ensure_future(groups.update_pool(ADMIN, "gold", PoolChange(strategy="pack")))
        await eventually(partial(lock_waiters, database))
    await waiting
    pool = await groups.pool("gold")
    assert (pool.description, pool.strategy) == ("x", "pack")


async def test_a_pool_in_use_cannot_be_deleted(database: Database, groups: Groups) -> None:
    by_host = await groups.create_pool(ADMIN, PoolChange(name="hosts"))
    by_machine = await groups.create_pool(ADMIN, PoolChange(name="machines"))
    await add(database, HOST, pool_id=by_host.id)
    await add(database, MACHINE, pool_id=by_machine.id)
    with pytest.raises(InvalidRequest, match=r"Pool has machines in it, it cannot be deleted\."):
        await groups.delete_pool(ADMIN, "machines")
    with pytest.raises(InvalidRequest, match="Pool has 1 VM host in it"):
        await groups.delete_pool(ADMIN, "hosts")
    by_cluster = await groups.create_pool(ADMIN, PoolChange(name="clusters"))
    await add(database, CLUSTER, pool_id=by_cluster.id)
    for dry_run in (True, False):
        with pytest.raises(InvalidRequest, match=r"^Pool has 1 VM cluster in it, it cannot be deleted\.$"):
            await groups.delete_pool(ADMIN, "clusters", dry_run=dry_run)
    await add(database, "update vm_host set zone_id = $1, pool_id = $2", pool_id=by_cluster.id)
    with pytest.raises(InvalidRequest, match="Pool has 1 VM host and 1 VM cluster in it") as error:
        await groups.delete_pool(ADMIN, "clusters")
    assert error.value.details == {"machines": 0, "hosts": 1, "clusters": 1, "devices": 0}
    assert len(await groups.pools()) == 4


async def test_a_taken_name_is_rejected_for_its_field(groups: Groups) -> None:
    await groups.create_zone(ADMIN, "north", "")
    await groups.create_pool(ADMIN, PoolChange(name="gold"))
    attempts = (
        groups.create_zone(ADMIN, "north", ""),
        groups.update_zone(ADMIN, "north", new_name="default"),
        groups.create_pool(ADMIN, PoolChange(name="default")),
        groups.update_pool(ADMIN, "gold", PoolChange(name="default")),
    )
    for attempt in attempts:
        assert [*await invalid_fields(attempt)] == ["name"]
    assert (await groups.update_zone(ADMIN, "north", new_name="north")).name == "north"


async def test_one_of_many_concurrent_creations_gets_the_name(groups: Groups) -> None:
    results = await asyncio.gather(
        *(groups.create_pool(ADMIN, PoolChange(name="gold")) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, ResourcePool) for one in results) == 1
    assert sum(isinstance(one, InvalidRequest) for one in results) == 7


async def test_only_administrators_change_groups(groups: Groups) -> None:
    attempts = (
        groups.create_zone(USER, "x", ""),
        groups.update_zone(USER, "default", description="x"),
        groups.delete_zone(USER, "x"),
        groups.create_pool(USER, PoolChange(name="x")),
        groups.update_pool(USER, "default", PoolChange(description="x")),
        groups.delete_pool(USER, "x"),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            await attempt


@pytest.mark.parametrize("name", ["a", "9", "_x", "Grüne Zone", "rack 1-a", "x" * 256])
def test_valid_names_are_accepted(name: str) -> None:
    check_group(name, "anything\n at all")


@pytest.mark.parametrize("name", ["", " a", "-a", "a/b", "a.b", "a\n", "a\tb", "x" * 257, "a\0"])
def test_invalid_names_are_rejected_for_their_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as rejected:
        check_group(name, None)
    assert list(rejected.value.fields) == ["name"]


def test_all_invalid_fields_are_reported_together() -> None:
    with pytest.raises(InvalidRequest) as rejected:
        check_group("", "\0")
    assert sorted(rejected.value.fields) == ["description", "name"]


@given(st.text(max_size=300))
def test_exactly_the_valid_names_are_accepted(name: str) -> None:
    valid = 1 <= len(name) <= 256 and _word(name[0]) and all(_word(letter) or letter in " -" for letter in name)
    with nullcontext() if valid else pytest.raises(InvalidRequest, match="name: "):
        check_group(name, None)


def _word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


async def add(database: Database, statement: str, *, zone_id: int = 1, pool_id: int = 0) -> None:
    async with database.connection() as db:
        await db.execute(statement, zone_id, pool_id)


async def zones_in_use(database: Database) -> set[int]:
    async with database.connection() as db:
        return {row["zone_id"] for row in await db.fetch(_ZONES_IN_USE)}
