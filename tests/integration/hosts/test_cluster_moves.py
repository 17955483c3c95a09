"""A machine that its cluster moves, found by the discovery runs of both members, in any order or concurrently."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from attrs import evolve, frozen

from common.hosts.discovery import Discovery, MarkerOnOtherMember
from common.values import DriverType, Guest, OwnershipMarker
from regiond.db.pool import Database
from regiond.hosts.discovery.apply import apply_discovery
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges, DiscoveryRun
from regiond.hosts.discovery.refresh import Refresher
from regiond.machines.core.guest_changes import MachineGuestChanges
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.discovery_runs import discover
from tests.integration.support.tables import rows
from tests.support.waiting import eventually

MEMBERS = ("m1", "m2")
_ADD_CLUSTER = "insert into cluster (name, identity, project) values ('c', 'x', '') returning id"
_HOSTS_OF_NICS = "select i.host_id from machine_nic n left join host_interface i on i.id = n.interface_id"
_DUE = "select host_id from vm_host_schedule where next_refresh_at <= now() + interval '2 seconds'"
_NOT_DUE = "update vm_host_schedule set next_refresh_at = now() + interval '1 hour'"
_JOIN_CLUSTER = "update vm_host set cluster_id = $2, member = $3 where id = $1"


@frozen(kw_only=True)
class Cluster:
    """Two hosts that are members of one cluster; `empty` is what a run finds on each, without the machine's guest."""

    database: Database
    refresher: Refresher
    host_ids: tuple[int, int]
    empty: tuple[Discovery, Discovery]
    guest: Guest
    marker: OwnershipMarker
    began_at: datetime

    async def refresh(self, member: int, *, guest_on: str, lists_others: bool = True) -> DiscoveryChanges:
        """Applies a run of `member`. `lists_others`: its listing shows the other member's guests."""
        run, host_id = self.run(member, guest_on=guest_on, lists_others=lists_others), self.host_ids[member]
        changes = await self.database.in_transaction(
            lambda db: apply_discovery(db, host_id, DriverType.SIMULATED, run, MachineGuestChanges())
        )
        await self.refresher.refresh_members(host_id, changes)
        return changes

    def run(self, member: int, *, guest_on: str, lists_others: bool = True) -> DiscoveryRun:
        found = self.empty[member]
        if MEMBERS[member] == guest_on:
            found = evolve(found, guests=(self.guest,))
        elif lists_others:
            found = evolve(found, on_other_members=(MarkerOnOtherMember(marker=self.marker, member=guest_on),))
        return DiscoveryRun(began_at=self.began_at, discovery=found)


async def add_cluster(innkeeper: Deployment) -> Cluster:
    """Adds two hosts, makes them members of one cluster in the database, and composes a machine on the first."""
    first, second = [(await innkeeper.add_simulated(name))["id"] for name in MEMBERS]
    await innkeeper.compose(first, hostname="mover")
    async with innkeeper.connection() as db:
        cluster_id = await db.fetchval(_ADD_CLUSTER)
        for host_id, member in zip((first, second), MEMBERS, strict=True):
            await db.execute(_JOIN_CLUSTER, host_id, cluster_id, member)
        began_at: datetime = await db.fetchval("select clock_timestamp()")
    first_found, second_found = [await discover(innkeeper, host_id) for host_id in (first, second)]
    (guest,) = first_found.guests
    assert guest.marker is not None
    await innkeeper.region.components.link_supervisor.stop()  # a watch that starts makes its host due
    return Cluster(
        database=innkeeper.region.components.database,
        refresher=innkeeper.region.components.schedule.refresher,
        host_ids=(first, second),
        empty=(evolve(first_found, guests=()), second_found),
        guest=guest,
        marker=guest.marker,
        began_at=began_at,
    )


async def state(innkeeper: Deployment) -> tuple[str, str]:
    (machine,) = await innkeeper.get("machines/")
    return machine["pod"]["name"], machine["status_name"]


@pytest.mark.parametrize("first", [0, 1])
async def test_a_moved_machine_is_never_missing_whichever_member_runs_first(innkeeper: Deployment, first: int) -> None:
    cluster = await add_cluster(innkeeper)
    for member in (first, 1 - first):
        changes = await cluster.refresh(member, guest_on="m2")
        assert ChangeKind.MISSING not in {one.kind for one in changes.machines}
    assert await state(innkeeper) == ("m2", "Ready")
    used = [(await innkeeper.get(f"vm-hosts/{host_id}/"))["used"]["cores"] for host_id in cluster.host_ids]
    assert used == [0, 1]


async def test_the_member_to_which_a_machine_moved_is_refreshed_soon_and_once(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    await innkeeper.fetch(_NOT_DUE)
    await innkeeper.fetch("update vm_host_schedule set refreshed_at = now() + interval '20 minutes'")
    await cluster.refresh(0, guest_on="m2")
    assert await rows(innkeeper, _DUE) == [], "a second after its last refresh"
    await cluster.refresh(0, guest_on="m1")  # it returns
    await innkeeper.fetch("update vm_host_schedule set refreshed_at = now() - interval '1 minute'")
    await cluster.refresh(0, guest_on="m2")
    assert await rows(innkeeper, _DUE) == [(cluster.host_ids[1],)]
    await innkeeper.fetch(_NOT_DUE)
    await cluster.refresh(0, guest_on="m2")
    assert await rows(innkeeper, _DUE) == [], "the first of these runs made it due"


@pytest.mark.parametrize("is_requested", [False, True])
async def test_each_refresh_makes_the_member_due_to_which_a_machine_moved(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, is_requested: bool
) -> None:
    cluster = await add_cluster(innkeeper)
    await innkeeper.fetch(_NOT_DUE)
    await innkeeper.fetch("update vm_host_schedule set refreshed_at = now() - interval '1 minute'")

    async def discover_move(_: int) -> DiscoveryRun:
        return cluster.run(0, guest_on="m2")

    monkeypatch.setattr(cluster.refresher, "discover", discover_move)
    if is_requested:
        await innkeeper.post(f"vm-hosts/{cluster.host_ids[0]}/", op="refresh")
    else:
        await cluster.refresher.refresh(cluster.host_ids[0])

    async def is_due() -> bool:
        return await rows(innkeeper, _DUE) == [(cluster.host_ids[1],)]

    await eventually(is_due)  # a requested refresh ends before


async def test_a_member_that_cannot_be_refreshed_keeps_its_time(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    await innkeeper.fetch(_NOT_DUE)
    await innkeeper.fetch("update vm_host set state = 'unreachable' where member = 'm2'")
    await cluster.refresh(0, guest_on="m2")
    assert await rows(innkeeper, _DUE) == []


async def test_the_nics_of_a_moved_machine_are_bound_on_its_new_host(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    await cluster.refresh(1, guest_on="m2")
    assert await rows(innkeeper, _HOSTS_OF_NICS) == [(cluster.host_ids[1],)]


async def test_a_move_found_by_one_member_is_no_discrepancy(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    await cluster.refresh(1, guest_on="m2")
    assert await innkeeper.get("discrepancies/") == []


async def test_a_machine_moved_to_an_unknown_member_is_missing(innkeeper: Deployment) -> None:
    cluster = await add_cluster(innkeeper)
    await cluster.refresh(0, guest_on="m3")
    assert await state(innkeeper) == ("m1", "Missing")


async def test_concurrent_runs_of_both_members_find_the_move(innkeeper: Deployment) -> None:
    """Neither listing shows the other member, so one of the runs may find the machine missing."""
    cluster = await add_cluster(innkeeper)
    for round_number in range(20):
        now_on = MEMBERS[(round_number + 1) % 2]
        await asyncio.gather(*(cluster.refresh(member, guest_on=now_on, lists_others=False) for member in (0, 1)))
        assert await state(innkeeper) == (now_on, "Ready")
