"""A machine that its cluster moves is news of two members: whoever looks first, and also when both look at once."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve, frozen

from common.discovery import Discovery, MarkElsewhere
from common.values import DriverType, Guest, HostAccess, Mark
from rackd.drivers.simulated.driver import SimulatedHosts
from regiond.db.pool import Database, connect
from regiond.hosts.intake import Changes, Finding
from regiond.hosts.intake_store import take_in
from tests.installation import Installation, installed

MEMBERS = ("m1", "m2")
_ADD_CLUSTER = "insert into cluster (name, identity, project) values ('c', 'x', '') returning id"
_JOIN_CLUSTER = "update vm_host set cluster_id = $2, member = $3 where id = $1"


@frozen(kw_only=True)
class Cluster:
    """Two hosts that are members of one cluster, and what a look at each finds without the machine's guest."""

    database: Database
    host_ids: tuple[int, int]
    empty: tuple[Discovery, Discovery]
    guest: Guest
    mark: Mark
    began_at: datetime

    async def look(self, member: int, *, guest_on: str, told: bool = True) -> Changes:
        """One look while the guest is on that member; `told`: the listing shows what is on the other one."""
        found = self.empty[member]
        if MEMBERS[member] == guest_on:
            found = evolve(found, guests=(self.guest,))
        elif told:
            found = evolve(found, elsewhere=(MarkElsewhere(mark=self.mark, member=guest_on),))
        return await self.database.in_transaction(
            lambda db: take_in(db, self.host_ids[member], DriverType.SIMULATED.value, found, self.began_at)
        )


async def look_at(innkeeper: Installation, folder: Path, host_id: int) -> Discovery:
    async with innkeeper.region.parts.database.connection() as db:
        installation_id: UUID = await db.fetchval("select id from installation")
    parameters = await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters")
    access = HostAccess(
        host_id=host_id,
        driver=DriverType.SIMULATED,
        address=parameters["power_address"],
        installation_id=installation_id,
    )
    with closing(SimulatedHosts(folder / "simulated").open(access)) as driver:
        return driver.discover()


async def clustered(innkeeper: Installation, folder: Path, database_url: str) -> Cluster:
    """A machine on the first of two hosts that are said to be members of one cluster."""
    await innkeeper.start_rack()
    first, second = [(await innkeeper.add_simulated(name))["id"] for name in MEMBERS]
    await innkeeper.compose(first, hostname="mover")
    db = await connect(database_url, application_name="test")
    try:
        cluster_id = await db.fetchval(_ADD_CLUSTER)
        for host_id, member in zip((first, second), MEMBERS, strict=True):
            await db.execute(_JOIN_CLUSTER, host_id, cluster_id, member)
        began_at: datetime = await db.fetchval("select clock_timestamp()")
    finally:
        await db.close()
    here, there = [await look_at(innkeeper, folder, host_id) for host_id in (first, second)]
    (guest,) = here.guests
    assert guest.mark is not None
    return Cluster(
        database=innkeeper.region.parts.database,
        host_ids=(first, second),
        empty=(evolve(here, guests=()), there),
        guest=guest,
        mark=guest.mark,
        began_at=began_at,
    )


async def state(innkeeper: Installation) -> tuple[str, str]:
    (machine,) = await innkeeper.get("machines/")
    return machine["pod"]["name"], machine["status_name"]


@pytest.mark.parametrize("first", [0, 1])
async def test_whichever_member_is_looked_at_first_the_machine_moves_and_is_never_missing(
    tmp_path: Path, database_url: str, first: int
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        cluster = await clustered(innkeeper, tmp_path, database_url)
        for member in (first, 1 - first):
            changes = await cluster.look(member, guest_on="m2")
            assert Finding.MISSING not in {one.finding for one in changes.machines}
        assert await state(innkeeper) == ("m2", "Ready")
        used = [(await innkeeper.get(f"vm-hosts/{host_id}/"))["used"]["cores"] for host_id in cluster.host_ids]
        assert used == [0, 1]


async def test_the_cards_of_a_machine_that_moved_are_on_the_interfaces_of_its_new_host(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        cluster = await clustered(innkeeper, tmp_path, database_url)
        await cluster.look(1, guest_on="m2")
        async with cluster.database.connection() as db:
            hosts = await db.fetch(
                "select i.host_id from machine_nic n left join host_interface i on i.id = n.interface_id"
            )
        assert [row["host_id"] for row in hosts] == [cluster.host_ids[1]]


async def test_while_only_one_member_was_looked_at_a_move_is_no_second_guest(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        cluster = await clustered(innkeeper, tmp_path, database_url)
        await cluster.look(1, guest_on="m2")
        assert await innkeeper.get("differences/") == []


async def test_one_that_moved_to_a_member_that_is_no_host_here_is_missing(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        cluster = await clustered(innkeeper, tmp_path, database_url)
        await cluster.look(0, guest_on="m3")
        assert await state(innkeeper) == ("m1", "Missing")


async def test_looks_at_both_members_at_once_end_as_one_after_the_other(tmp_path: Path, database_url: str) -> None:
    """The hardest case: neither listing tells of the other member, so one of the two may find the machine missing."""
    async with installed(tmp_path, database_url) as innkeeper:
        cluster = await clustered(innkeeper, tmp_path, database_url)
        for round_number in range(20):
            now_on = MEMBERS[(round_number + 1) % 2]
            await asyncio.gather(*(cluster.look(member, guest_on=now_on, told=False) for member in (0, 1)))
            assert await state(innkeeper) == (now_on, "Ready")
