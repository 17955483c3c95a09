"""Changes of devices in the log of events and in the stream of changes, for those who see the machine."""

from __future__ import annotations

from typing import Any

from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_devices import MAC, interface_of, register
from tests.integration.networks.test_nic_links import Nic, allocated
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.support.waiting import eventually

ADMIN = Caller(account_id=0, username="admin", is_admin=True)
STRANGER = Caller(account_id=999, username="stranger", is_admin=False)


async def messages(innkeeper: Deployment, nic: Nic) -> list[tuple[str, str]]:
    found = await innkeeper.get(f"events/?op=query&id={nic.system_id}&limit=1000")
    return [(one["kind"], one["description"]) for one in found["events"] if one["kind"].startswith("device_")]


async def test_every_change_of_a_device_is_an_event_and_a_change_of_its_machine(innkeeper: Deployment) -> None:
    nic, changes = await allocated(innkeeper), innkeeper.region.components.changes
    expected: list[tuple[str, str]] = []

    async def happens(attempt: Any, kind: str, message: str) -> Any:
        position = changes.position
        answer = await attempt
        topics = {"vms", f"vm-{nic.system_id}"}
        await eventually(lambda: topics <= set(changes.since(position, ADMIN).topics))
        assert changes.since(position, STRANGER).topics == ()
        expected.insert(0, (kind, message))
        assert await messages(innkeeper, nic) == expected
        return answer

    device = await happens(register(innkeeper, nic.system_id), "device_created", "The device box was registered on web")
    path = interface_of(device)
    link: dict[str, Any] = {"op": "link_subnet", "mode": "STATIC", "subnet": "10.1.0.0/24"}
    for attempt, message in (
        (innkeeper.put("devices/box/", hostname="tub"), "The device box is named tub"),
        (innkeeper.put("devices/tub/", description="x"), "The device tub has another description"),
        (innkeeper.put(path, name="eth7", tags="a"), "eth0 of the device tub is named eth7 and has the tags a"),
        (innkeeper.post(path, op="add_tag", tag="b"), "eth7 of the device tub has the tags a, b"),
        (
            innkeeper.post(path, ip_address="10.1.0.20", **link),
            "eth7 of the device tub is linked: 10.1.0.20 in 10.1.0.0/24 (STATIC)",
        ),
        (
            innkeeper.post(path, ip_address="10.1.0.21", force=True, **link),
            "eth7 of the device tub is linked: 10.1.0.21 in 10.1.0.0/24 (STATIC)",
        ),
        (innkeeper.post(path, op="disconnect"), "eth7 of the device tub has no link"),
    ):
        await happens(attempt, "device_changed", message)
    interfaces = f"nodes/{device['system_id']}/interfaces/"
    second = "52:54:00:aa:00:02"
    added = await happens(
        innkeeper.post(interfaces, op="create_physical", mac_address=second),
        "device_changed",
        f"The device tub has a new interface eth0 ({second})",
    )
    await happens(
        innkeeper.delete(f"{interfaces}{added['id']}/"), "device_changed", "eth0 of the device tub was deleted"
    )
    await happens(innkeeper.delete("devices/tub/"), "device_deleted", "The device tub was deleted")


async def test_what_changes_nothing_is_no_event(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    path = interface_of(await register(innkeeper, nic.system_id))
    await innkeeper.put("devices/box/", hostname="box")
    await innkeeper.put(path, name="eth0", mac_address=MAC)
    await innkeeper.post(path, op="disconnect")
    await innkeeper.delete("devices/box/?dry_run=true")
    assert [kind for kind, _ in await messages(innkeeper, nic)] == ["device_created"]


async def test_events_of_devices_are_for_those_who_see_the_machine(innkeeper: Deployment) -> None:
    nic = await allocated(innkeeper)
    await register(innkeeper, nic.system_id)
    ann = await as_user(innkeeper, "ann")
    assert len(await messages(ann, nic)) == 1
    await innkeeper.post("resourcepools/", name="other")
    await innkeeper.put(f"machines/{nic.system_id}/", pool="other")
    assert await messages(ann, nic) == []
    found = await ann.get("events/?op=query&limit=1000")
    assert [one for one in found["events"] if one["kind"].startswith("device_")] == []
    assert await sql(innkeeper, "select 1 from event where kind = 'device_created'") != []
