"""What becomes of the credentials of a rack that is removed or reported stolen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.errors import NotAllowed, NotFound
from regiond.credentials.model import SentCredential
from regiond.credentials.sent_store import record_sent
from regiond.db.pool import Database
from regiond.racks import store
from regiond.racks.service import Racks
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.joined_racks import ADMIN, add_host_row, joined_rack
from tests.integration.support.rigs.lxd_hosts import add
from tests.integration.support.rigs.recording_racks import RecordedRacks
from tests.integration.support.tables import lock_waiters, rows
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually
from tests.unit.regiond.credentials.test_key_pairs import small_pair

SSH_KEY = SentCredential(name="ssh_private_key")


@pytest.fixture
def recorded(lxds: FakeLxds) -> RecordedRacks:
    lxds.add(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"))
    return RecordedRacks(lxds)


async def rack_id(innkeeper: Deployment, name: str) -> str:
    found: str = (await innkeeper.get(f"racks/{name}/"))["id"]
    return found


async def rotated(innkeeper: Deployment, removed: str, count: int) -> bool:
    shown = await innkeeper.get(f"racks/{removed}/")
    return [one["state"] for one in shown["rotations"]] == ["succeeded"] * count


@pytest.mark.slow
async def test_the_removal_of_a_rack_rotates_what_it_had(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    first, second = lxds.servers["lxd1"], lxds.servers["lxd2"]
    async with deployed(tmp_path, database_url, drivers=recorded.drivers) as innkeeper:
        await innkeeper.start_rack("a")
        await add(innkeeper, "lxd1", name="one", password=first.token())
        await add(innkeeper, "lxd1", name="web", project="web")
        removed = await rack_id(innkeeper, "a")
        await innkeeper.start_rack("b")
        await innkeeper.stop_rack("a")
        await add(innkeeper, "lxd2", name="two", password=second.token())  # through b only
        (old,), (kept,) = first.trusted, second.trusted
        plan = (await innkeeper.delete(f"racks/{removed}/", dry_run="true")).json()
        assert "The rotation of credentials that it had is queued: one." in plan["effects"]
        assert await rows(innkeeper, "select id from operation where kind = 'rotate'") == []
        await innkeeper.delete(f"racks/{removed}/")
        await eventually(lambda: rotated(innkeeper, removed, 1))
        assert list(first.trusted) != [old]
        assert len(first.trusted) == 1
        assert list(second.trusted) == [kept]
        shown = await innkeeper.get(f"racks/{removed}/")
        assert (shown["state"], shown["rotations"][0]["host"], shown["by_hand"]) == ("removed", "one", [])
        events = await innkeeper.get("events/", op="query")
        assert any("queued: one." in one["description"] for one in events["events"])


async def test_a_stolen_rack_exposes_what_it_was_told_to_forget(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    server = lxds.servers["lxd1"]
    async with deployed(tmp_path, database_url, drivers=recorded.drivers) as innkeeper:
        await innkeeper.post("zones/", name="west")
        await innkeeper.start_rack("a")
        await add(innkeeper, "lxd1", name="one", password=server.token())
        await innkeeper.start_rack("b")
        removed = await rack_id(innkeeper, "a")
        await innkeeper.put("racks/a/", zones="west")
        await eventually(lambda: _forgotten(innkeeper))
        await innkeeper.delete(f"racks/{removed}/")
        assert (await innkeeper.get(f"racks/{removed}/"))["rotations"] == []
        (old,) = server.trusted
        shown = await innkeeper.post(f"racks/{removed}/", op="report_stolen")
        assert (shown["state"], [one["host"] for one in shown["rotations"]]) == ("stolen", ["one"])
        await eventually(lambda: rotated(innkeeper, removed, 1))
        assert old not in server.trusted
        again = await innkeeper.post(f"racks/{removed}/", op="report_stolen")
        assert len(again["rotations"]) == 1


async def _forgotten(innkeeper: Deployment) -> bool:
    return bool(await rows(innkeeper, "select 1 from rack_credential where forgotten_at is not null"))


async def test_what_a_person_has_to_replace_is_listed_by_host(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    imported, phrase = small_pair(), "old-style password"
    server = lxds.servers["lxd1"]
    server.secrets.add(phrase)
    async with deployed(tmp_path, database_url, drivers=recorded.drivers) as innkeeper:
        await innkeeper.start_rack("a")
        host = await add(innkeeper, "lxd1", name="one", password=phrase, trust_on_first_use="true")
        server.trust(imported.certificate_pem)
        await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=imported.certificate_pem, key=imported.key_pem)
        removed = await rack_id(innkeeper, "a")
        shown = await innkeeper.post(f"racks/{removed}/", op="report_stolen")
        assert shown["rotations"] == []
        found = {one["credential"]: one["remedy"] for one in shown["by_hand"]}
        assert {one["host"] for one in shown["by_hand"]} == {"one"}
        assert f"lxc config trust remove {imported.fingerprint}" in found["key_pair"]
        assert "lxc config unset core.trust_password" in found["trust_password"]
        events = await innkeeper.get("events/", op="query")
        text = "A person has to replace these credentials that it had: one (key_pair), one (trust_password)."
        assert any(text in one["description"] for one in events["events"])


@pytest.mark.slow
async def test_a_pair_that_a_removed_rack_saw_during_a_rotation_is_rotated(
    tmp_path: Path, database_url: str, lxds: FakeLxds, recorded: RecordedRacks
) -> None:
    server = lxds.servers["lxd1"]
    async with deployed(tmp_path, database_url, drivers=recorded.drivers) as innkeeper:
        await innkeeper.start_rack("a")
        host = await add(innkeeper, "lxd1", name="one", password=server.token())
        server.lost += ["untrust"] * 50  # the new pair is in use, the rotation has not ended
        await innkeeper.begin(f"vm-hosts/{host['id']}/", op="rotate")
        await eventually(lambda: len(server.lost) < 50)
        (seen,) = await _fingerprints_of_hosts(innkeeper)
        removed = await rack_id(innkeeper, "a")
        await innkeeper.delete(f"racks/{removed}/")
        server.lost.clear()
        await innkeeper.start_rack("b")
        await eventually(lambda: rotated(innkeeper, removed, 2))  # the open one, and one of the new pair
        (now,) = server.trusted
        assert now != seen


async def _fingerprints_of_hosts(innkeeper: Deployment) -> list[Any]:
    query = "select k.fingerprint from vm_host h join key_pair k on k.id = h.key_pair_id"
    return [row[0] for row in await rows(innkeeper, query)]


async def test_the_ssh_key_of_a_libvirt_host_is_left_to_a_person(racks: Racks, database: Database) -> None:
    joined = await joined_rack(racks)
    host_id = await add_host_row(database, "far")
    await execute(
        database,
        "update vm_host set address = 'qemu+ssh://kvm@10.0.0.9/system', public_key = 'ssh-ed25519 AAAA innkeeper-far'",
    )
    async with database.transaction() as db:
        assert await record_sent(db, UUID(joined.rack_id), host_id, [SSH_KEY])
    plan = await racks.remove(ADMIN, joined.rack_id)
    assert any("far (ssh_private_key)" in effect for effect in plan.effects)
    (found,) = (await racks.read(joined.rack_id)).by_hand
    assert "remove from ~/.ssh/authorized_keys of kvm the line: ssh-ed25519 AAAA innkeeper-far" in found.remedy


async def test_a_removal_and_the_record_of_a_credential_exclude_each_other(racks: Racks, database: Database) -> None:
    joined = await joined_rack(racks)
    host_id = await add_host_row(database)

    async def record() -> bool:
        async with database.transaction() as db:
            return await record_sent(db, UUID(joined.rack_id), host_id, [SSH_KEY])

    async with database.transaction() as db:
        await store.remove(db, UUID(joined.rack_id))
        recording = asyncio.create_task(record())
        await eventually(lambda: _waits(database))
    assert not await recording
    assert await fetchval(database, "select count(*) from rack_credential") == 0


async def _waits(database: Database) -> bool:
    return await lock_waiters(database) == 1


async def test_only_administrators_report_an_existing_rack_stolen(racks: Racks) -> None:
    joined = await joined_rack(racks)
    with pytest.raises(NotAllowed):
        await racks.report_stolen(Caller(account_id=2, username="ann", is_admin=False), joined.rack_id)
    with pytest.raises(NotFound):
        await racks.report_stolen(ADMIN, "00000000-0000-0000-0000-000000000000")
    assert (await racks.report_stolen(ADMIN, joined.rack_id)).state == "stolen"
