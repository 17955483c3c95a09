"""What a rack tells that cannot be true is refused and recorded, and changes no machine, claim or host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import DatabaseUnavailable, InnkeeperError, NotAllowed
from common.rpc.commands import (
    HOST_COMPOSE,
    HOST_DISCOVER,
    HOST_EVENT,
    HOST_FIND,
    HOST_REACH,
    ComposeCall,
    DiscoveryPart,
    FoundGuest,
    GuestCall,
    HostCall,
    HostEvent,
)
from common.rpc.connection import connect
from common.rpc.frames import Done, encode
from common.rpc.handlers import Handler, Side
from common.rpc.link import Link
from common.rpc.peers import Address, Role
from common.rpc.tls import MemberTls
from common.values import Guest, GuestChange, GuestDisk, GuestEvent, Mark, PowerState
from common.wire import to_plain
from rackd.commands import parts_of
from rackd.drivers.simulated.driver import SimulatedHosts
from tests.installation import Installation, installed
from tests.integration.lying import joined, lying_rack, refusals
from tests.integration.test_reconciler import sql
from tests.waiting import eventually

pytestmark = pytest.mark.same_sql


async def ledger_of(innkeeper: Installation) -> list[set[Any]]:
    """Every machine, claim and total, to be compared as sets: a difference is told in a line."""
    async with innkeeper.region.parts.database.connection() as db:
        found = [
            await db.fetch("select id, uuid, state, power_state, cores, memory_mib, host_id from machine order by id"),
            await db.fetch("select * from claim order by id"),
            await db.fetch("select id, identity, cores, cores_claimed, memory_mib_claimed from server order by id"),
        ]
    return [{str(tuple(row)) for row in rows} for rows in found]


async def assert_same(innkeeper: Installation, before: list[set[Any]]) -> None:
    changed = [there ^ was for there, was in zip(await ledger_of(innkeeper), before, strict=True)]
    assert not any(changed), changed


def made_of(call: ComposeCall, **changes: Any) -> Guest:
    """What an honest rack would answer, but for the changes."""
    spec = call.spec
    disks = tuple(
        GuestDisk(device=f"vd{i}", size_bytes=disk.size_bytes, pool_id=disk.pool_id, volume=disk.volume)
        for i, disk in enumerate(spec.disks)
    )
    guest = Guest(
        name=spec.name, guest_id=str(spec.mark.machine_id), power=PowerState.OFF, cores=spec.cores,
        memory_mib=spec.memory_mib, mark=spec.mark, architecture=spec.architecture, disks=disks,
    )  # fmt: skip
    return evolve(guest, **changes)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (lambda call: made_of(call, mark=evolve(call.spec.mark, machine_id=uuid4())), "is marked as machine"),
        (lambda _: {"name": ["no", "guest"]}, "what is no answer"),
    ],
    ids=["another-machine", "malformed"],
)
async def test_a_compose_that_is_answered_with_what_cannot_be_is_not_believed_and_the_next_rack_makes_it(
    tmp_path: Path, database_url: str, lie: Any, told: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:

        async def compose(_: Link, call: ComposeCall) -> Any:
            await innkeeper.start_rack("honest")
            return lie(call)

        async with lying_rack(innkeeper, {HOST_COMPOSE: compose}):
            host = await innkeeper.add_simulated()
            made = await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="inn")
            machine = await innkeeper.get(f"machines/{made['system_id']}/")
            assert innkeeper.simulated_guests() == ["inn"]
            assert (machine["cpu_count"], machine["memory"]) == (1, 1024)
            (said,) = await refusals(innkeeper)
            assert "'liar'" in said
            assert told in said


async def test_a_rack_that_lies_alone_gets_nobody_a_machine_and_nothing_is_claimed(
    tmp_path: Path, database_url: str
) -> None:
    async def compose(_: Link, call: ComposeCall) -> Any:
        return made_of(call, mark=evolve(call.spec.mark, machine_id=uuid4()))

    async with installed(tmp_path, database_url) as innkeeper, lying_rack(innkeeper, {HOST_COMPOSE: compose}):
        host = await innkeeper.add_simulated()
        before = await ledger_of(innkeeper)
        async with innkeeper.region.parts.database.connection() as db:
            begun = await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, hostname="inn"
            )
            await db.execute("update operation set failures = max_failures - 1 where id = $1", begun["id"])

        async def ended() -> Any:
            found = await innkeeper.get(f"operations/{begun['id']}/")
            return found if found["state"] == "failed" else None

        failed = await eventually(ended)
        assert failed["error"]["code"] == "answer_refused", failed
        await assert_same(innkeeper, before)


async def test_an_error_that_only_a_region_can_have_ends_the_operation_and_leaves_it_to_nobody(
    tmp_path: Path, database_url: str
) -> None:
    async def reach(_: Link, __: HostCall) -> Any:
        raise DatabaseUnavailable("the database is gone, says the rack")

    async with installed(tmp_path, database_url) as innkeeper, lying_rack(innkeeper, {HOST_REACH: reach}):
        host = await innkeeper.add_simulated()
        begun = await innkeeper.post(
            f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, hostname="inn"
        )

        async def waiting() -> Any:
            found = await innkeeper.get(f"operations/{begun['id']}/")
            return found if found["state"] == "waiting" else None

        assert (await eventually(waiting))["error"]["code"] == "answer_refused"
        assert any("which no rack can know" in said for said in await refusals(innkeeper))
        await innkeeper.post(f"operations/{begun['id']}/", op="cancel")

        async def over() -> bool:
            return bool((await innkeeper.get(f"operations/{begun['id']}/"))["state"] == "cancelled")

        await eventually(over)


def discovery(innkeeper: Installation, *more: Guest) -> Handler:
    """The truth about the host that is asked for, and these guests."""

    async def discover(_: Link, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = SimulatedHosts(innkeeper.folder / "simulated").open(call.access).discover()
        for part in parts_of(evolve(found, guests=(*found.guests, *more))):
            yield part

    return discover


async def test_a_guest_with_the_mark_of_a_machine_on_another_host_is_no_machine_and_is_told(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        home = await innkeeper.add_simulated("home")
        other = await innkeeper.add_simulated("other")
        await innkeeper.compose(home["id"], cores=1, memory=1024, hostname="inn")
        await innkeeper.stop_rack("rack")
        async with innkeeper.region.parts.database.connection() as db:
            mark = Mark(
                installation_id=await db.fetchval("select id from installation"),
                machine_id=await db.fetchval("select uuid from machine"),
            )
        copy = Guest(name="inn", guest_id="7", power=PowerState.ON, cores=1, memory_mib=512, mark=mark)
        before = await ledger_of(innkeeper)
        async with lying_rack(innkeeper, {HOST_DISCOVER: discovery(innkeeper, copy)}):
            await innkeeper.post(f"vm-hosts/{other['id']}/", op="refresh")
            (said,) = await refusals(innkeeper, "second_marked_guest_found")
            assert "another guest is that machine" in said
            machines, claims, _ = await ledger_of(innkeeper)
            assert not machines ^ before[0]
            assert claims >= before[1]
        async with lying_rack(innkeeper, name="honest"):  # and the truth sets it right
            await innkeeper.post(f"vm-hosts/{other['id']}/", op="refresh")
            await assert_same(innkeeper, before)


async def test_an_answer_without_an_end_is_cut_off_and_the_host_is_as_it_was(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.rpc.link.MAX_STREAM_BYTES", 200_000)

    async def discover(_: Link, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = SimulatedHosts(tmp_path / "simulated").open(call.access).discover()
        guest = Guest(name="x" * 1000, guest_id="1", power=PowerState.ON, cores=1, memory_mib=1)
        yield DiscoveryPart(facts=found.facts)
        while True:
            yield DiscoveryPart(guests=(guest,) * 25)

    async with installed(tmp_path, database_url) as innkeeper:
        async with lying_rack(innkeeper, name="honest"):
            host = await innkeeper.add_simulated()
        before = await ledger_of(innkeeper)
        async with lying_rack(innkeeper, {HOST_DISCOVER: discover}):
            with pytest.raises(InnkeeperError, match="with more than 200000 bytes"):
                await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await assert_same(innkeeper, before)
        assert any("more than 200000 bytes" in said for said in await refusals(innkeeper))


async def test_another_guest_in_answer_to_a_look_for_one_is_not_believed(tmp_path: Path, database_url: str) -> None:
    async def find(_: Link, call: GuestCall) -> FoundGuest:
        mark = evolve(call.guest.mark, machine_id=uuid4())
        return FoundGuest(
            guest=Guest(name=call.guest.name, guest_id="1", power=PowerState.ON, cores=1, memory_mib=1, mark=mark)
        )

    async with installed(tmp_path, database_url) as innkeeper, lying_rack(innkeeper, {HOST_FIND: find}):
        host = await innkeeper.add_simulated()
        machine = await innkeeper.compose(host["id"], cores=1, memory=1024)
        with pytest.raises(InnkeeperError, match="is marked as machine"):
            await innkeeper.get(f"machines/{machine['system_id']}/", op="query_power_state")
        assert len(await refusals(innkeeper)) == 1


def power_of(host_id: int, system: str, power: PowerState = PowerState.ON) -> Any:
    change = GuestChange(event=GuestEvent.POWER, guest_name=system, guest_id=system, power=power)
    return to_plain(HostEvent(host_id=host_id, change=change))


async def test_events_of_hosts_that_a_rack_was_not_asked_to_watch_change_nothing_and_are_recorded_once(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="inn")
        await eventually(lambda: host["id"] in innkeeper.region.parts.attendance.watched)
        before = await ledger_of(innkeeper)
        async with lying_rack(innkeeper) as link:
            for _ in range(50):
                link.send_event(HOST_EVENT, power_of(host["id"], "inn"))
                link.send_event(HOST_EVENT, {"host_id": "seven"})
                link.send_event("host.never_heard_of", {})
            said = await eventually(lambda: _two_refusals(innkeeper))
            assert [f"VM host {host['id']}, which it was not asked to watch" in one for one in said].count(True) == 1
            assert link.is_open
            await assert_same(innkeeper, before)


async def _two_refusals(innkeeper: Installation) -> list[str] | None:
    found = await refusals(innkeeper)
    return found if len(found) >= 2 else None


async def test_a_flood_of_events_costs_one_look_at_each_of_its_hosts_and_is_recorded(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper, lying_rack(innkeeper) as link:
        host, far = await innkeeper.add_simulated(), await innkeeper.add_simulated("far")
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="inn")
        await eventually(lambda: {host["id"], far["id"]} <= {*innkeeper.region.parts.attendance.watched})
        link.send_event(HOST_EVENT, power_of(host["id"], "a\0"))
        (said,) = await eventually(lambda: refusals(innkeeper))
        assert "told of what cannot be" in said
        await eventually(lambda: _is_looked_at_soon(innkeeper, far["id"], soon=False))
        for _ in range(3000):
            link.send_event(HOST_EVENT, power_of(host["id"], "inn", PowerState.OFF))
        assert "more than 256 events at once" in (await eventually(lambda: _two_refusals(innkeeper)))[1]
        assert (await innkeeper.get("machines/"))[0]["power_state"] == "off"
        await eventually(lambda: _is_looked_at_soon(innkeeper, far["id"], soon=True))


async def _is_looked_at_soon(innkeeper: Installation, host_id: int, *, soon: bool) -> bool:
    """Within the next minute, or not (any more)."""
    (row,) = await sql(
        innkeeper,
        "select next_refresh_at <= now() + interval '1 minute' as soon from vm_host_schedule where host_id = $1",
        host_id,
    )
    return bool(row["soon"]) is soon


async def test_an_answer_that_is_given_again_ends_the_link_and_is_recorded(tmp_path: Path, database_url: str) -> None:
    """The answer of an old attempt, or of a call that another rack was asked: the link's calls know neither."""
    async with installed(tmp_path, database_url) as innkeeper:
        async with lying_rack(innkeeper) as link:
            host = await innkeeper.add_simulated()
            before = await ledger_of(innkeeper)
            for replayed in (1, 4711):
                again = Done(id=replayed, body={"hypervisor_version": "1.0"})
                link._carrier.send([encode(again)])  # the library would never send it
            await asyncio.wait_for(link.closed(), 30)
            said = await eventually(lambda: refusals(innkeeper))
            assert "which was not asked or has ended" in said[0]
            await assert_same(innkeeper, before)
        await innkeeper.start_rack("honest")
        assert (await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh"))["name"] == "sim"


async def test_a_rack_is_who_its_certificate_says_whatever_name_it_gives(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("somebody-else")
        async with lying_rack(innkeeper):  # its hello says that it is somebody else
            assert sorted(link.peer.name for link in innkeeper.region.parts.listener.links) == ["liar", "somebody-else"]


async def test_a_removed_rack_that_comes_again_is_refused_and_told_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        identity = await joined(innkeeper, "liar")
        await innkeeper.delete(f"racks/{identity.rack_id}/")
        address = Address(host="127.0.0.1", port=innkeeper.region.parts.listener.port)
        for _ in range(2):
            with pytest.raises(NotAllowed, match="was removed"):
                await connect(address, MemberTls(identity.credentials), Side(role=Role.RACK, name="liar"))
        (said,) = await refusals(innkeeper, "rack_refused")
        assert "'liar' was refused at the door" in said
