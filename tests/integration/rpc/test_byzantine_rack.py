"""Implausible responses and events of a rack are rejected, recorded and change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import DatabaseUnavailable, InnkeeperError, NotAllowed
from common.rpc.commands.host_commands import (
    HOST_COMPOSE,
    HOST_DISCOVER,
    HOST_EVENT,
    HOST_FIND,
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
from common.rpc.link import MAX_STREAM_BYTES, Link
from common.rpc.peers import Address
from common.rpc.tls import MemberTls
from common.serialization import to_dict
from common.trust.certificates import Role
from common.values import Guest, GuestChange, GuestDisk, GuestEvent, OwnershipMarker, PowerState
from rackd.commands import parts_of
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from regiond.operations.engine import OWN_EVENTS_S
from regiond.racks.enrolment import listener
from regiond.racks.reach.link_supervisor import WATCH_EVERY_S
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.byzantine_rack import byzantine_rack, joined, recorded_messages
from tests.integration.support.tables import sql
from tests.support.clock import advance
from tests.support.waiting import eventually


@pytest.fixture
def large_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rack's link is read at once, whatever it sends: test_link_limits.py is about its budget."""
    monkeypatch.setattr(listener, "BURST_FRAMES", 100_000)


async def ledger_of(innkeeper: Deployment) -> list[set[Any]]:
    """Returns machines, claims and totals as sets, so that a failed comparison shows only what differs."""
    async with innkeeper.region.components.database.connection() as db:
        found = [
            await db.fetch("select id, uuid, state, power_state, cores, memory_mib, host_id from machine order by id"),
            await db.fetch("select * from claim order by id"),
            await db.fetch("select id, identity, cores, cores_claimed, memory_mib_claimed from server order by id"),
        ]
    return [{str(tuple(row)) for row in rows} for rows in found]


async def assert_same(innkeeper: Deployment, before: list[set[Any]]) -> None:
    changed = [now ^ then for now, then in zip(await ledger_of(innkeeper), before, strict=True)]
    assert not any(changed), changed


def composed_guest(call: ComposeCall, **changes: Any) -> Guest:
    """Returns the guest that an honest rack would compose, with these changes."""
    spec = call.spec
    disks = tuple(
        GuestDisk(device=f"vd{i}", size_bytes=disk.size_bytes, pool_id=disk.pool_id, volume=disk.volume)
        for i, disk in enumerate(spec.disks)
    )
    guest = Guest(
        name=spec.name, guest_id=str(spec.marker.machine_id), power=PowerState.OFF, cores=spec.cores,
        memory_mib=spec.memory_mib, marker=spec.marker, architecture=spec.architecture, disks=disks,
    )  # fmt: skip
    return evolve(guest, **changes)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (
            lambda call: composed_guest(call, marker=evolve(call.spec.marker, machine_id=uuid4())),
            "has the marker of machine",
        ),
        (lambda _: {"name": ["no", "guest"]}, "invalid response"),
    ],
    ids=["another-machine", "malformed"],
)
async def test_after_an_implausible_compose_response_the_next_rack_composes(
    rackless: Deployment, lie: Any, reason: str
) -> None:
    async def compose(_: Link, call: ComposeCall) -> Any:
        await rackless.start_rack("honest")
        return lie(call)

    async with byzantine_rack(rackless, {HOST_COMPOSE: compose}):
        host = await rackless.add_simulated()
        composed = await rackless.compose(host["id"], cores=1, memory=1024, hostname="vm")
        machine = await rackless.get(f"machines/{composed['system_id']}/")
        assert rackless.simulated_guests() == ["vm"]
        assert (machine["cpu_count"], machine["memory"]) == (1, 1024)
        (message,) = await recorded_messages(rackless)
        assert "'byzantine'" in message
        assert reason in message


async def test_an_implausible_compose_response_claims_nothing(rackless: Deployment) -> None:
    async def compose(_: Link, call: ComposeCall) -> Any:
        return composed_guest(call, marker=evolve(call.spec.marker, machine_id=uuid4()))

    async with byzantine_rack(rackless, {HOST_COMPOSE: compose}):
        host = await rackless.add_simulated()
        before = await ledger_of(rackless)
        async with rackless.region.components.database.connection() as db:
            operation_id = await rackless.begin_compose(host["id"])
            await db.execute("update operation set failures = max_failures - 1 where id = $1", operation_id)
        assert await rackless.ended(operation_id) == "failed"
        failed = await rackless.get(f"operations/{operation_id}/")
        assert failed["error"]["code"] == "response_rejected", failed
        await assert_same(rackless, before)


async def test_an_error_that_a_rack_cannot_raise_is_rejected(rackless: Deployment) -> None:
    async def compose(_: Link, __: ComposeCall) -> Any:
        raise DatabaseUnavailable("the rack reports that the database is lost")

    async with byzantine_rack(rackless, {HOST_COMPOSE: compose}):
        host = await rackless.add_simulated()
        operation_id = await rackless.begin_compose(host["id"])

        async def waiting() -> Any:
            found = await rackless.get(f"operations/{operation_id}/")
            return found if found["state"] == "waiting" else None

        assert (await eventually(waiting))["error"]["code"] == "response_rejected"
        assert any("which a rack cannot raise" in message for message in await recorded_messages(rackless))
        await rackless.post(f"operations/{operation_id}/", op="cancel")
        assert await rackless.ended(operation_id) == "cancelled"


def discovery(innkeeper: Deployment, host_id: int, *more: Guest) -> Handler:
    """Returns a handler that discovers simulated hosts and adds these guests to one; others are refreshed meanwhile."""

    async def discover(_: Link, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = SimulatedDriverFactory(innkeeper.folder / "simulated").open(call.access).discover()
        added = more if call.access.host_id == host_id else ()
        for part in parts_of(evolve(found, guests=(*found.guests, *added))):
            yield part

    return discover


async def test_a_duplicate_marker_on_another_host_is_reported(innkeeper: Deployment) -> None:
    home = await innkeeper.add_simulated("home")
    other = await innkeeper.add_simulated("other")
    await innkeeper.compose(home["id"], cores=1, memory=1024, hostname="vm")
    await innkeeper.stop_rack("rack")
    async with innkeeper.region.components.database.connection() as db:
        marker = OwnershipMarker(
            installation_id=await db.fetchval("select id from installation"),
            machine_id=await db.fetchval("select uuid from machine"),
        )
    copy = Guest(name="vm", guest_id="7", power=PowerState.ON, cores=1, memory_mib=512, marker=marker)
    before = await ledger_of(innkeeper)
    async with byzantine_rack(innkeeper, {HOST_DISCOVER: discovery(innkeeper, other["id"], copy)}):
        await innkeeper.post(f"vm-hosts/{other['id']}/", op="refresh")
        (message,) = await recorded_messages(innkeeper, "duplicate_marker_found")
        assert "another guest is: probably a copy" in message
        machines, claims, _ = await ledger_of(innkeeper)
        assert not machines ^ before[0]
        assert claims >= before[1]
    async with byzantine_rack(innkeeper, name="honest"):  # its correct response restores the ledger
        await innkeeper.post(f"vm-hosts/{other['id']}/", op="refresh")
        await assert_same(innkeeper, before)


@pytest.mark.usefixtures("large_budget")  # before the region starts
async def test_an_endless_response_is_cut_off_and_changes_nothing(rackless: Deployment, tmp_path: Path) -> None:
    async def discover(_: Link, call: HostCall) -> AsyncGenerator[DiscoveryPart, None]:
        found = SimulatedDriverFactory(tmp_path / "simulated").open(call.access).discover()
        guest = Guest(name="x" * 20_000, guest_id="1", power=PowerState.ON, cores=1, memory_mib=1)
        yield DiscoveryPart(facts=found.facts)
        while True:
            yield DiscoveryPart(guests=(guest,) * 25)

    async with byzantine_rack(rackless, name="honest"):
        host = await rackless.add_simulated()
    before = await ledger_of(rackless)
    async with byzantine_rack(rackless, {HOST_DISCOVER: discover}):
        with pytest.raises(InnkeeperError, match=f"with more than {MAX_STREAM_BYTES} bytes"):
            await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    await assert_same(rackless, before)
    assert any(f"more than {MAX_STREAM_BYTES} bytes" in message for message in await recorded_messages(rackless))


async def test_a_response_with_another_guest_is_rejected(rackless: Deployment) -> None:
    async def find(_: Link, call: GuestCall) -> FoundGuest:
        marker = evolve(call.guest.marker, machine_id=uuid4())
        return FoundGuest(
            guest=Guest(name=call.guest.name, guest_id="1", power=PowerState.ON, cores=1, memory_mib=1, marker=marker)
        )

    async with byzantine_rack(rackless, {HOST_FIND: find}):
        host = await rackless.add_simulated()
        machine = await rackless.compose(host["id"], cores=1, memory=1024)
        with pytest.raises(InnkeeperError, match="has the marker of machine"):
            await rackless.get(f"machines/{machine['system_id']}/", op="query_power_state")
        assert len(await recorded_messages(rackless)) == 1


def power_event(host_id: int, name: str, power: PowerState = PowerState.ON) -> Any:
    change = GuestChange(event=GuestEvent.POWER, guest_name=name, guest_id=name, power=power)
    return to_dict(HostEvent(host_id=host_id, change=change))


async def test_events_of_unwatched_hosts_are_rejected_and_recorded_once(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], cores=1, memory=1024, hostname="vm")
    await advance(WATCH_EVERY_S)
    await eventually(lambda: host["id"] in innkeeper.region.components.link_supervisor.watched)
    before = await ledger_of(innkeeper)
    async with byzantine_rack(innkeeper) as link:
        for _ in range(50):
            link.send_event(HOST_EVENT, power_event(host["id"], "vm"))
            link.send_event(HOST_EVENT, {"host_id": "seven"})
            link.send_event("host.unknown_event", {})
        message = await eventually(lambda: _two_rejections(innkeeper))
        assert [
            f"VM host {host['id']}, which the region did not ask this rack to watch" in one for one in message
        ].count(True) == 1
        assert link.is_open
        await assert_same(innkeeper, before)


async def _two_rejections(innkeeper: Deployment) -> list[str] | None:
    found = await recorded_messages(innkeeper)
    return found if len(found) >= 2 else None


@pytest.mark.usefixtures("large_budget")  # before the region starts
async def test_a_flood_of_events_causes_one_refresh_per_host(rackless: Deployment) -> None:
    async with byzantine_rack(rackless) as link:
        host, quiet = await rackless.add_simulated(), await rackless.add_simulated("far")
        await rackless.compose(host["id"], cores=1, memory=1024, hostname="vm")
        await advance(WATCH_EVERY_S)
        await eventually(lambda: {host["id"], quiet["id"]} <= {*rackless.region.components.link_supervisor.watched})
        link.send_event(HOST_EVENT, power_event(host["id"], "a\0"))
        (message,) = await eventually(lambda: recorded_messages(rackless))
        assert "invalid event" in message
        await rackless.after_refreshes(lambda: _is_refresh_due(rackless, quiet["id"], due=False))
        await advance(OWN_EVENTS_S)
        for _ in range(3000):
            link.send_event(HOST_EVENT, power_event(host["id"], "vm", PowerState.OFF))
        assert "more than 256 pending events" in (await eventually(lambda: _two_rejections(rackless)))[1]
        await eventually(lambda: _is_refresh_due(rackless, quiet["id"], due=True))
        await rackless.after_refreshes(lambda: _is_off(rackless))


async def _is_off(innkeeper: Deployment) -> bool:
    (machine,) = await innkeeper.get("machines/")
    return bool(machine["power_state"] == "off")


async def _is_refresh_due(innkeeper: Deployment, host_id: int, *, due: bool) -> bool:
    """Whether the host is, or with `due=False` is not, to be refreshed within a minute."""
    (row,) = await sql(
        innkeeper,
        "select next_refresh_at <= now() + interval '1 minute' as soon from vm_host_schedule where host_id = $1",
        host_id,
    )
    return bool(row["soon"]) is due


async def test_a_second_response_to_a_call_ends_the_link(rackless: Deployment) -> None:
    """Such as a late response to an old attempt, or to a call that another rack received."""
    async with byzantine_rack(rackless) as link:
        host = await rackless.add_simulated()
        before = await ledger_of(rackless)
        for replayed in (1, 4711):
            again = Done(id=replayed, body={"hypervisor_version": "1.0"})
            link.carrier.send([encode(again)])  # a real rack cannot send it
        await asyncio.wait_for(link.closed(), 60)
        message = await eventually(lambda: recorded_messages(rackless))
        assert "which was never sent or has ended" in message[0]
        await assert_same(rackless, before)
    await rackless.start_rack("honest")
    assert (await rackless.post(f"vm-hosts/{host['id']}/", op="refresh"))["name"] == "sim"


async def test_the_certificate_decides_the_identity_of_a_rack(rackless: Deployment) -> None:
    await rackless.start_rack("other-rack")
    async with byzantine_rack(rackless):  # its hello message has the name of the other rack
        assert sorted(link.peer.name for link in rackless.region.components.listener.links) == [
            "byzantine",
            "other-rack",
        ]


async def test_a_removed_rack_that_reconnects_is_rejected_and_recorded_once(rackless: Deployment) -> None:
    identity = await joined(rackless, "byzantine")
    await rackless.delete(f"racks/{identity.rack_id}/")
    address = Address(host="127.0.0.1", port=rackless.region.components.listener.port)
    for _ in range(2):
        with pytest.raises(NotAllowed, match="was removed"):
            await connect(address, MemberTls(identity.credentials), Side(role=Role.RACK, name="byzantine"))
    (message,) = await recorded_messages(rackless, "rack_rejected")
    assert "Rejected the connection of rack 'byzantine'" in message
