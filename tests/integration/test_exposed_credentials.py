"""What becomes of the credentials of a rack that is removed or reported stolen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import NotAllowed, NotFound
from regiond.caller import Caller
from regiond.racks.service import Racks
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.joined_racks import ADMIN, joined_rack
from tests.integration.lxd_hosts import add
from tests.integration.recording_racks import RecordedRacks
from tests.integration.tables import rows
from tests.lxd_double import FakeLxd, FakeLxds
from tests.unit.test_key_pairs import small_pair
from tests.waiting import eventually


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
        await eventually(
            lambda: rotated(innkeeper, removed, 2), deadline_s=60.0
        )  # the open one, and one of the new pair
        (now,) = server.trusted
        assert now != seen


async def _fingerprints_of_hosts(innkeeper: Deployment) -> list[Any]:
    query = "select k.fingerprint from vm_host h join key_pair k on k.id = h.key_pair_id"
    return [row[0] for row in await rows(innkeeper, query)]


async def test_only_administrators_report_an_existing_rack_stolen(racks: Racks) -> None:
    joined = await joined_rack(racks)
    with pytest.raises(NotAllowed):
        await racks.report_stolen(Caller(account_id=2, username="ann", is_admin=False), joined.rack_id)
    with pytest.raises(NotFound):
        await racks.report_stolen(ADMIN, "00000000-0000-0000-0000-000000000000")
    assert (await racks.report_stolen(ADMIN, joined.rack_id)).state == "stolen"
