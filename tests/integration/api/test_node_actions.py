"""Operations that MAAS has on nodes of every kind: zones of many, registered MAC addresses, details, owner data."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import MAC, register
from tests.integration.networks.test_nic_links import allocated
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.support.rejections import invalid_fields, rejected_status, rejection

NO_DETAILS = b"\x11\x00\x00\x00\x0alshw\x00\x0alldp\x00\x00"  # BSON
OTHER_MAC = "52:54:00:aa:00:02"


async def zone_of(innkeeper: Deployment, path: str) -> str:
    found: str = (await innkeeper.get(path))["zone"]["name"]
    return found


async def test_machines_and_devices_move_to_a_zone_at_once(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="attic")
    await allocated(innkeeper, "web")
    other = await allocated(innkeeper, "db")
    await innkeeper.post("devices/", mac_addresses=MAC, hostname="printer")
    await innkeeper.post("machines/", op="set_zone", zone="attic", nodes=["web", other.system_id])
    assert {await zone_of(innkeeper, f"machines/{name}/") for name in ("web", "db")} == {"attic"}
    await innkeeper.post("devices/", op="set_zone", zone="attic", nodes="printer")
    assert await zone_of(innkeeper, "devices/printer/") == "attic"
    await innkeeper.post("nodes/", op="set_zone", zone="default", nodes=["printer", "db"])
    assert await zone_of(innkeeper, "devices/printer/") == await zone_of(innkeeper, "machines/db/") == "default"
    wrong: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("machines/", {"zone": "nowhere", "nodes": "web"}, "zone"),
        ("machines/", {"zone": "default", "nodes": ["web", "nobody"]}, "nodes"),
        ("nodes/", {"zone": "default", "nodes": "nobody"}, "nodes"),
        ("devices/", {"zone": "default", "nodes": "web"}, "nodes"),
        ("nodes/", {"zone": "default"}, "nodes"),
    )
    for path, fields, field in wrong:
        assert list(await invalid_fields(innkeeper.post(path, op="set_zone", **fields))) == [field], fields
    assert await zone_of(innkeeper, "machines/web/") == "attic", "all or none"
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(ann.post("machines/", op="set_zone", zone="default", nodes="web")) == 403


async def test_nodes_move_to_a_zone_all_or_none(innkeeper: Deployment) -> None:
    await innkeeper.post("zones/", name="attic")
    web = await allocated(innkeeper, "web")
    locked = await allocated(innkeeper, "db")
    await innkeeper.post("devices/", mac_addresses=MAC, hostname="printer")
    await sql(innkeeper, "update machine set locked = true where hostname = 'db'")
    asked: dict[str, Any] = {"zone": "attic", "nodes": ["printer", "web", "db"]}
    error = await rejection(innkeeper.post("nodes/", op="set_zone", **asked))
    assert (error.details["status"], "is locked" in error.message) == (403, True)
    for path in ("devices/printer/", "machines/web/", "machines/db/"):
        assert await zone_of(innkeeper, path) == "default", path
    await sql(innkeeper, "update machine set locked = false")
    for _ in range(2):
        await innkeeper.post("nodes/", op="set_zone", **asked)
    events = await sql(innkeeper, "select message, system_id, username from event where kind = 'machine_zone_changed'")
    assert sorted((one["message"], one["system_id"], one["username"]) for one in events) == [
        ("db is in the zone attic", locked.system_id, "admin"), ("web is in the zone attic", web.system_id, "admin"),
    ]  # fmt: skip
    moved = await sql(innkeeper, "select message from event where kind = 'device_changed'")
    assert [one["message"] for one in moved] == ["printer is in the zone attic"]


async def test_a_registered_mac_address_is_known(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await register(innkeeper, nic.system_id)
    of_machine = (await nic.machine())["interface_set"][0]["mac_address"]
    for path in ("machines/", "devices/", "nodes/"):
        for mac_address, known in ((MAC, True), (MAC.upper(), True), (of_machine, True), (OTHER_MAC, False)):
            found = await innkeeper.get(f"{path}?op=is_registered&mac_address={mac_address}")
            assert found is known, (path, mac_address)
    assert list(await invalid_fields(innkeeper.get("nodes/?op=is_registered&mac_address=x"))) == ["mac_address"]
    assert list(await invalid_fields(innkeeper.get("nodes/?op=is_registered"))) == ["mac_address"]


async def test_nodes_of_every_kind_have_details_and_power_parameters(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    device = await register(innkeeper, nic.system_id)
    (host,) = await innkeeper.get("vm-hosts/")
    parameters = await innkeeper.get(f"machines/{nic.system_id}/?op=power_parameters")
    assert parameters["power_address"]
    for system_id, found in {
        nic.system_id: parameters, device["system_id"]: {}, host["host"]["system_id"]: {},
    }.items():  # fmt: skip
        assert await innkeeper.get(f"nodes/{system_id}/?op=power_parameters") == found
    assert await innkeeper.get("devices/box/?op=power_parameters") == {}
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(ann.get("devices/box/?op=power_parameters")) == 403
    for path in ("nodes/web/", "nodes/box/", "devices/box/"):
        assert (await innkeeper.api.get(path, op="details")).body == NO_DETAILS


async def test_devices_keep_owner_data(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await register(innkeeper, nic.system_id)
    changed = await innkeeper.post("devices/box/", op="set_owner_data", room="12", row="b")
    assert changed["owner_data"] == {"room": "12", "row": "b"}
    changed = await innkeeper.post("nodes/box/", op="set_owner_data", row="")
    assert changed["owner_data"] == {"room": "12"}
    assert (await innkeeper.post("nodes/web/", op="set_owner_data", rack="7"))["owner_data"] == {"rack": "7"}
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(ann.post("devices/box/", op="set_owner_data", room="13")) == 403
    too_much = innkeeper.post("devices/box/", op="set_owner_data", text="x" * 40_000)
    assert await rejected_status(too_much) == 400
    assert (await innkeeper.get("devices/box/"))["owner_data"] == {"room": "12"}


async def test_tags_have_no_controllers_and_nothing_to_rebuild(innkeeper: Deployment) -> None:
    await innkeeper.post("tags/", name="ssd")
    for kind in ("rack", "region"):
        assert await innkeeper.get(f"tags/ssd/?op={kind}_controllers") == []
    assert await innkeeper.post("tags/ssd/", op="rebuild") == {"rebuilding": "ssd"}
    assert await rejected_status(innkeeper.post("tags/none/", op="rebuild")) == 404
