"""Zones and resource pools."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest, NotAllowed, NotFound
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.groups.model import ResourcePool, Zone, check_group
from regiond.groups.service import Groups

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(account_id=2, username="user", is_admin=False)


async def test_the_defaults_are_there_from_the_start(database: Database) -> None:
    groups = Groups(database)
    assert await groups.zones() == (Zone(id=1, name="default", description=""),)
    assert await groups.pools() == (ResourcePool(id=0, name="default", description="Default pool"),)


async def test_a_zone_is_made_read_renamed_and_deleted(database: Database) -> None:
    groups = Groups(database)
    made = await groups.create_zone(ADMIN, "rack 1-a", "by the door")
    assert made.id >= 2
    assert await groups.zone("rack 1-a") == made
    assert [zone.name for zone in await groups.zones()] == ["default", "rack 1-a"]
    renamed = await groups.update_zone(ADMIN, "rack 1-a", new_name="door")
    assert renamed == Zone(id=made.id, name="door", description="by the door")
    assert (await groups.update_zone(ADMIN, "door", description="")).description == ""
    await groups.delete_zone(ADMIN, "door")
    with pytest.raises(NotFound, match="door"):
        await groups.zone("door")


async def test_deleting_a_zone_that_is_none_is_success_and_changing_one_is_not(database: Database) -> None:
    groups = Groups(database)
    for name in ("nowhere", "", "a\0b"):
        await groups.delete_zone(ADMIN, name)
        with pytest.raises(NotFound):
            await groups.update_zone(ADMIN, name, description="x")


async def test_hosts_and_machines_of_a_deleted_zone_move_to_the_default_zone(database: Database) -> None:
    groups = Groups(database)
    zone = await groups.create_zone(ADMIN, "north", "")
    await _add_host(database, zone_id=zone.id)
    await _add_machine(database, zone_id=zone.id)
    await groups.delete_zone(ADMIN, "north")
    async with database.connection() as db:
        assert await db.fetchval("select zone_id from vm_host") == 1
        assert await db.fetchval("select zone_id from machine") == 1


async def test_the_defaults_cannot_be_deleted(database: Database) -> None:
    groups = Groups(database)
    with pytest.raises(InvalidRequest, match=r"This zone is the default zone, it cannot be deleted\."):
        await groups.delete_zone(ADMIN, "default")
    for name in ("default", "0"):
        with pytest.raises(InvalidRequest, match="default pool"):
            await groups.delete_pool(ADMIN, name)


async def test_a_pool_is_found_by_id_or_name_and_its_id_comes_first(database: Database) -> None:
    groups = Groups(database)
    made = await groups.create_pool(ADMIN, "gold", "fast disks")
    assert await groups.pool("gold") == await groups.pool(str(made.id)) == made
    assert (await groups.pool("0")).name == "default"
    named_like_an_id = await groups.create_pool(ADMIN, str(made.id), "")
    assert await groups.pool(str(made.id)) == made
    assert await groups.pool(str(named_like_an_id.id)) == named_like_an_id
    for unknown in ("silver", "99", "", "99999999999999999999", "a\0b"):
        with pytest.raises(NotFound):
            await groups.pool(unknown)


async def test_a_pool_is_renamed_and_deleted_by_either(database: Database) -> None:
    groups = Groups(database)
    made = await groups.create_pool(ADMIN, "gold", "")
    assert (await groups.update_pool(ADMIN, str(made.id), new_name="silver")).name == "silver"
    assert (await groups.update_pool(ADMIN, str(made.id), strategy="pack")).strategy == "pack"
    assert (await groups.update_pool(ADMIN, str(made.id), description="x")).strategy == "pack"
    assert (await groups.update_pool(ADMIN, str(made.id), strategy="")).strategy is None
    assert (await groups.create_pool(ADMIN, "spreading", strategy="spread")).strategy == "spread"
    await groups.delete_pool(ADMIN, "silver")
    with pytest.raises(NotFound):
        await groups.delete_pool(ADMIN, "silver")


async def test_a_pool_in_use_cannot_be_deleted(database: Database) -> None:
    groups = Groups(database)
    by_host = await groups.create_pool(ADMIN, "hosts", "")
    by_machine = await groups.create_pool(ADMIN, "machines", "")
    await _add_host(database, pool_id=by_host.id)
    await _add_machine(database, pool_id=by_machine.id)
    with pytest.raises(InvalidRequest, match=r"Pool has machines in it, it cannot be deleted\."):
        await groups.delete_pool(ADMIN, "machines")
    with pytest.raises(InvalidRequest, match="Pool has 1 VM hosts in it"):
        await groups.delete_pool(ADMIN, "hosts")
    assert len(await groups.pools()) == 3


async def test_a_name_that_is_taken_is_refused_under_its_field(database: Database) -> None:
    groups = Groups(database)
    await groups.create_zone(ADMIN, "north", "")
    await groups.create_pool(ADMIN, "gold", "")
    attempts = (
        groups.create_zone(ADMIN, "north", ""),
        groups.update_zone(ADMIN, "north", new_name="default"),
        groups.create_pool(ADMIN, "default", ""),
        groups.update_pool(ADMIN, "gold", new_name="default"),
    )
    for attempt in attempts:
        with pytest.raises(InvalidRequest) as refused:
            await attempt
        assert list(refused.value.fields) == ["name"]
    assert (await groups.update_zone(ADMIN, "north", new_name="north")).name == "north"


async def test_of_many_who_want_one_name_one_gets_it(database: Database) -> None:
    groups = Groups(database)
    made = await asyncio.gather(*(groups.create_pool(ADMIN, "gold", "") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(one, ResourcePool) for one in made) == 1
    assert sum(isinstance(one, InvalidRequest) for one in made) == 7


async def test_only_admins_change_groups(database: Database) -> None:
    groups = Groups(database)
    attempts = (
        groups.create_zone(USER, "x", ""),
        groups.update_zone(USER, "default", description="x"),
        groups.delete_zone(USER, "x"),
        groups.create_pool(USER, "x", ""),
        groups.update_pool(USER, "default", description="x"),
        groups.delete_pool(USER, "x"),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            await attempt


@pytest.mark.parametrize("name", ["a", "9", "_x", "Grüne Zone", "rack 1-a", "x" * 256])
def test_names_that_follow_the_rule_are_taken(name: str) -> None:
    check_group(name, "anything\n at all")


@pytest.mark.parametrize("name", ["", " a", "-a", "a/b", "a.b", "a\n", "a\tb", "x" * 257, "a\0"])
def test_names_that_do_not_are_refused_under_their_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_group(name, None)
    assert list(refused.value.fields) == ["name"]


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_group("", "\0")
    assert sorted(refused.value.fields) == ["description", "name"]


@given(st.text(max_size=300))
def test_exactly_the_names_that_follow_the_rule_are_taken(name: str) -> None:
    follows = 1 <= len(name) <= 256 and _word(name[0]) and all(_word(letter) or letter in " -" for letter in name)
    with nullcontext() if follows else pytest.raises(InvalidRequest, match="name: "):
        check_group(name, None)


def _word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


async def _add_host(database: Database, *, zone_id: int = 1, pool_id: int = 0) -> None:
    async with database.connection() as db:
        await db.execute(
            "insert into vm_host (name, driver, address, zone_id, pool_id, system_id) "
            "values ('local', 'virsh', 'qemu:///system', $1, $2, 'abc')",
            zone_id,
            pool_id,
        )


async def _add_machine(database: Database, *, zone_id: int = 1, pool_id: int = 0) -> None:
    async with database.connection() as db:
        await db.execute(
            "insert into machine (uuid, system_id, hostname, zone_id, pool_id, state, architecture, cores, memory_mib) "
            "values (gen_random_uuid(), 'def', 'vm1', $1, $2, 'ready', 'amd64', 1, 1024)",
            zone_id,
            pool_id,
        )
