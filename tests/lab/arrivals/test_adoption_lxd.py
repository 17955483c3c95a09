"""Adoption on real LXD and Incus, from the API: a running instance of their client receives only the marker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair

pytestmark = pytest.mark.every_product


def description(lxd: LxdServer, name: str) -> Any:
    """LXD's description of the instance without the marker and without what LXD changes while it runs."""
    found = lxd.ask(f"/1.0/instances/{name}")
    config = {
        key: value for key, value in found["config"].items() if not key.startswith(("user.innkeeper.", "volatile."))
    }
    return {"config": config, **{key: found[key] for key in ("devices", "profiles", "status", "description")}}


def process(lxd: LxdServer, name: str) -> int:
    return int(lxd.ask(f"/1.0/instances/{name}/state")["pid"])


def markers(lxd: LxdServer, name: str) -> list[str]:
    return [key for key in lxd.ask(f"/1.0/instances/{name}")["config"] if key.startswith("user.innkeeper.")]


async def test_a_running_instance_is_adopted_and_reattached(
    lxd: LxdServer, trusted: KeyPair, prefix: str, innkeeper: Deployment
) -> None:
    name = f"{prefix}0"
    lxd.lxc("init", "--empty", "--vm", name, "-c", "limits.memory=128MiB", "-d", "root,size=16MiB")
    lxd.lxc("start", name)
    before = description(lxd, name), process(lxd, name)
    access: dict[str, Any] = {
        "type": "lxd",
        "power_address": lxd.address,
        "certificate": trusted.certificate_pem,
        "key": trusted.key_pem,
    }
    host = await innkeeper.post("vm-hosts/", name="lab", **access)
    (adopted,) = await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=name)
    assert markers(lxd, name)
    assert (description(lxd, name), process(lxd, name)) == before
    machine = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert (machine["hostname"], machine["status_name"], machine["power_state"]) == (name, "Deployed", "on")
    assert [disk["storage_pool"] for disk in machine["blockdevice_set"]] == ["default"]
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    again = await innkeeper.post("vm-hosts/", name="again", **access)
    back = await innkeeper.get(f"machines/{adopted['system_id']}/")
    assert (back["pod"]["id"], back["hardware_uuid"]) == (again["id"], machine["hardware_uuid"])
    await innkeeper.api.send("POST", f"machines/{adopted['system_id']}/", query=[("op", "forget")])
    assert markers(lxd, name) == []
    assert (description(lxd, name), process(lxd, name)) == before
    await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    assert name not in {one["hostname"] for one in await innkeeper.get("machines/")}


async def test_a_deletion_of_an_adopted_instance_deletes_what_its_plan_says(
    lxd: LxdServer, trusted: KeyPair, prefix: str, innkeeper: Deployment
) -> None:
    name, volume = f"{prefix}1", f"{prefix}data"
    lxd.lxc("init", "--empty", "--vm", name, "-c", "limits.memory=128MiB", "-d", "root,size=16MiB")
    lxd.lxc("storage", "volume", "create", "default", volume, "--type=block", "size=16MiB")
    lxd.lxc("config", "device", "add", name, "data", "disk", "pool=default", f"source={volume}")
    host = await innkeeper.post(
        "vm-hosts/", name="lab", type="lxd", power_address=lxd.address, certificate=trusted.certificate_pem,
        key=trusted.key_pem,
    )  # fmt: skip
    (adopted,) = await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", guests=name)
    path = f"machines/{adopted['system_id']}/"
    plan = (await innkeeper.delete(path, dry_run="true")).json()
    assert [one["name"] for one in plan["deleted"][0]["volumes"]] == ["root"], "it is a part of the instance"
    (stays,) = [effect for effect in plan["effects"] if effect.startswith("Foreign disks stay")]
    assert stays.endswith(f": default/{volume}.")
    await innkeeper.delete(path)
    assert ("default", volume) in lxd.volumes()
    assert await innkeeper.get("kept-disks/") == []
    lxd.lxc("storage", "volume", "delete", "default", volume)
