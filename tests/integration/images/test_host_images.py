"""Images that a VM host has itself: named in the catalogue, deployed where they are, and never copied or deleted."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from common.errors import InvalidRequest
from innkeeper.request_body import Body
from regiond.machines.running.deployment.image_copies import ImageCopyCollection
from tests.deployment.deployment import Deployment
from tests.integration.support.images import CONTENT, add_image
from tests.integration.support.users import as_user
from tests.postgresql.database import execute, fetchval
from tests.support.rejections import rejection
from tests.support.waiting import eventually

GB = 1000**3
NOBLE = hashlib.sha256(b"noble").hexdigest()  # a simulated image's fingerprint is that of its alias


async def add(innkeeper: Any, **fields: Any) -> Any:
    return await innkeeper.post("boot-resources/", **fields)


async def uploaded(innkeeper: Deployment) -> Any:
    """The entries that are images."""
    return (await innkeeper.send("GET", "boot-resources/", query=[("type", "uploaded")])).json()


async def composed(innkeeper: Deployment, name: str = "sim", images: str = "noble:3", **host: Any) -> str:
    """The system id of a ready machine, with a disk of 8 GB, on a new host that has images."""
    made = await innkeeper.add_simulated(name, images=images, cores=8, storage_gb=100, **host)
    return str((await innkeeper.compose(made["id"], cores=1, memory=1024))["system_id"])


async def deploy(innkeeper: Any, system_id: str, **fields: Any) -> Any:
    return await innkeeper.post(f"machines/{system_id}/", op="deploy", **fields)


async def reaches(innkeeper: Deployment, system_id: str, wanted: str) -> Any:
    async def has() -> Any:
        machine = await innkeeper.get(f"machines/{system_id}/")
        return machine if machine["status_name"] == wanted else None

    return await eventually(has)


async def test_an_image_of_a_host_is_named_by_alias(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    entry = await add(innkeeper, vm_host="sim", alias="noble", name="ubuntu/noble")
    host = await innkeeper.get("vm-hosts/")
    assert (entry["state"], entry["name"], entry["architecture"]) == ("ready", "ubuntu/noble", "amd64/generic")
    assert entry["vm_host"] == {"id": host[0]["id"], "name": "sim"}
    assert (entry["alias"], entry["sha256"], entry["title"]) == ("noble", NOBLE, "Simulated image noble")
    assert (entry["virtual_size"], entry["copies"], entry["content_sha256"]) == (3 * GB, [], None)
    listed = await uploaded(innkeeper)
    assert [one["id"] for one in listed] == [entry["id"]]
    assert listed[0] == {name: value for name, value in entry.items() if name != "sets"}


async def test_the_name_is_the_alias_and_naming_it_again_changes_nothing(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    first = await add(innkeeper, vm_host="sim", alias="noble")
    assert first["name"] == "custom/noble"
    assert await add(innkeeper, vm_host="sim", fingerprint=NOBLE[:8], name="noble") == first


@pytest.mark.slow
async def test_a_machine_of_the_host_is_deployed_without_a_copy(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await add(innkeeper, vm_host="sim", alias="noble")
    answer = await deploy(innkeeper, system_id, distro_series="noble")
    assert (answer["osystem"], answer["distro_series"]) == ("custom", "noble")
    machine = await reaches(innkeeper, system_id, "Deployed")
    assert innkeeper.simulated().image_of(machine["hostname"]) == NOBLE
    assert innkeeper.simulated().images() == []
    assert await fetchval(innkeeper.region.components.database, "select count(*) from image_copy") == 0
    assert await innkeeper.ledger_problems() == []
    await innkeeper.post(f"machines/{system_id}/", op="release")
    assert innkeeper.simulated().image_of(machine["hostname"]) is None


async def test_it_cannot_be_deployed_on_another_host(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    other = await composed(innkeeper, "other")
    await add(innkeeper, vm_host="sim", alias="noble")
    rejected = await rejection(deploy(innkeeper, other, distro_series="noble"))
    assert rejected.details["status"] == 409
    assert "on the VM host sim only" in rejected.message
    assert (await innkeeper.get(f"machines/{other}/"))["status_name"] == "Ready"


@pytest.mark.slow
async def test_a_deployment_that_names_none_takes_that_of_the_region(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await add(innkeeper, vm_host="sim", alias="noble")
    rejected = await rejection(deploy(innkeeper, system_id))
    assert isinstance(rejected, InvalidRequest)
    assert "Name one of the images for amd64: custom/noble" in str(rejected.fields["distro_series"])
    sha256 = await add_image(innkeeper)
    await deploy(innkeeper, system_id)
    machine = await reaches(innkeeper, system_id, "Deployed")
    assert innkeeper.simulated().image_of(machine["hostname"]) == sha256


async def test_an_image_that_vanished_fails_the_deployment_before_anything_is_written(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await add(innkeeper, vm_host="sim", alias="noble", name="ubuntu/noble")
    await execute(innkeeper.region.components.database, "update image set sha256 = repeat('0', 64)")
    await deploy(innkeeper, system_id, distro_series="noble")
    machine = await reaches(innkeeper, system_id, "Failed deployment")
    assert machine["status_message"].startswith("sim does not have the image ubuntu/noble any more: ")
    assert "its images of VMs are noble" in machine["status_message"]
    assert (machine["power_state"], innkeeper.simulated().image_of(machine["hostname"])) == ("off", None)
    released = await innkeeper.post(f"machines/{system_id}/", op="release")
    assert released["status_name"] == "Ready"


@pytest.mark.slow
async def test_a_root_disk_that_is_too_small_is_rejected(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper, images="large:9")
    await add(innkeeper, vm_host="sim", alias="large")
    rejected = await rejection(deploy(innkeeper, system_id, distro_series="large"))
    assert (rejected.details["status"], str(9 * GB) in rejected.message) == (409, True)


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"vm_host": "sim", "alias": "jammy"}, "alias", "its images of VMs are noble"),
        ({"vm_host": "sim", "fingerprint": "0" * 12}, "fingerprint", "its images of VMs are noble"),
        ({"vm_host": "sim", "fingerprint": "xyz"}, "fingerprint", "hexadecimal digits"),
        ({"vm_host": "sim"}, "alias", "by alias or by fingerprint"),
        ({"vm_host": "sim", "alias": "noble", "fingerprint": NOBLE}, "alias", "by alias or by fingerprint"),
        ({"vm_host": "moon", "alias": "noble"}, "vm_host", "there is sim"),
        ({"vm_host": "sim", "alias": "noble", "architecture": "arm64"}, "architecture", "is for amd64"),
        ({"vm_host": "sim", "alias": "noble", "name": "a/b/c"}, "name", "is no name of an image"),
        ({"vm_host": "sim", "alias": "noble", "url": "https://images.example.com/noble"}, "url", "Not with vm_host"),
        ({"alias": "noble", "name": "noble", "architecture": "amd64"}, "alias", "Only with vm_host"),
    ],
)
async def test_what_the_host_does_not_have_is_rejected(
    innkeeper: Deployment, fields: dict[str, str], field: str, reason: str
) -> None:
    await composed(innkeeper)
    rejected = await rejection(add(innkeeper, **fields))
    assert isinstance(rejected, InvalidRequest)
    assert reason in str(rejected.fields[field])
    assert await uploaded(innkeeper) == []


async def test_a_host_that_does_not_answer_is_named(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    with innkeeper.simulated().down():
        rejected = await rejection(add(innkeeper, vm_host="sim", alias="noble"))
    assert rejected.details["status"] == 503
    assert await uploaded(innkeeper) == []


async def test_only_administrators_name_images(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert (await rejection(add(ann, vm_host="sim", alias="noble"))).details["status"] == 403


async def test_a_name_has_one_content(innkeeper: Deployment) -> None:
    await composed(innkeeper, images="noble:3,jammy:3")
    await add(innkeeper, vm_host="sim", alias="noble", name="lts")
    rejected = await rejection(add(innkeeper, vm_host="sim", alias="jammy", name="lts"))
    assert (rejected.details["status"], "on the VM host sim" in rejected.message) == (409, True)
    rejected = await rejection(
        add(innkeeper, name="lts", architecture="amd64", sha256=NOBLE, size=1024 * 1024)  # the same hash is no upload
    )
    assert (rejected.details["status"], "on the VM host sim" in rejected.message) == (409, True)


async def test_it_takes_no_content(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    entry = await add(innkeeper, vm_host="sim", alias="noble")
    part = innkeeper.api.send(
        "PUT", f"boot-resources/{entry['id']}/upload/{entry['id']}/", query=[("offset", "0")], body=Body(content=b"x")
    )
    assert "on the VM host sim: it takes no content" in (await rejection(part)).message


async def test_deleting_the_entry_leaves_the_image_on_the_host(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    entry = await add(innkeeper, vm_host="sim", alias="noble")
    plan = (await innkeeper.delete(f"boot-resources/{entry['id']}/", dry_run="true")).json()
    assert "The image stays on the VM host sim." in plan["effects"]
    await innkeeper.delete(f"boot-resources/{entry['id']}/")
    assert await uploaded(innkeeper) == []
    assert (await add(innkeeper, vm_host="sim", alias="noble"))["state"] == "ready"


async def test_its_entry_goes_with_the_host(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    await add(innkeeper, vm_host="sim", alias="noble")
    (host,) = await innkeeper.get("vm-hosts/")
    plan = await innkeeper.delete(f"vm-hosts/{host['id']}/", dry_run="true")
    assert plan.json()["effects"] == ["Images of the host itself leave the catalogue, and stay there: custom/noble."]
    removal = await innkeeper.begin(f"vm-hosts/{host['id']}/", method="DELETE")
    assert await innkeeper.ended(removal) == "succeeded"
    assert await uploaded(innkeeper) == []
    events = await innkeeper.fetch("select message from event where kind = 'image_deleted'")
    assert [event["message"] for event in events] == ["The image custom/noble for amd64 was deleted: it was on sim."]


@pytest.mark.slow
async def test_the_members_of_a_cluster_share_it(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    member = await composed(innkeeper, "member")
    entry = await add(innkeeper, vm_host="sim", alias="noble")
    database = innkeeper.region.components.database
    cluster = (
        "insert into cluster (id, name, identity, project, zone_id, pool_id) select 1, 'c', 'c', '', zone_id, pool_id"
    )
    await execute(database, f"{cluster} from vm_host limit 1")
    await execute(database, "update vm_host set cluster_id = 1")
    await deploy(innkeeper, member, distro_series="noble")
    await reaches(innkeeper, member, "Deployed")
    hosts = {host["name"]: host["id"] for host in await innkeeper.get("vm-hosts/")}
    assert (await innkeeper.delete(f"vm-hosts/{hosts['sim']}/", dry_run="true")).json()["effects"] == []
    removal = await innkeeper.begin(f"vm-hosts/{hosts['sim']}/", method="DELETE")
    assert await innkeeper.ended(removal) == "succeeded"
    assert (await innkeeper.get(f"boot-resources/{entry['id']}/"))["vm_host"]["name"] == "member"


@pytest.mark.slow
async def test_copies_on_hosts_are_listed(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper)
    (listed,) = await uploaded(innkeeper)
    assert listed["copies"] == []
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    (host,) = await innkeeper.get("vm-hosts/")
    copy = {
        "vm_host": {"id": host["id"], "name": "sim"}, "pool": "default", "size": len(CONTENT), "state": "complete",
    }  # fmt: skip
    (listed,) = await uploaded(innkeeper)
    assert listed["copies"] == [copy]
    path = f"boot-resources/{listed['id']}/"
    assert (await innkeeper.get(path))["copies"] == [copy]
    ann = await as_user(innkeeper, "ann")
    assert (await ann.get(path))["copies"] == [copy]
    await innkeeper.post("resourcepool/default/", op="revoke", user="ann")
    assert (await ann.get(path))["copies"] == [], "she does not see the host"


async def test_nothing_removes_it(innkeeper: Deployment) -> None:
    system_id = await composed(innkeeper)
    await add(innkeeper, vm_host="sim", alias="noble")
    await deploy(innkeeper, system_id, distro_series="noble")
    await reaches(innkeeper, system_id, "Deployed")
    components = innkeeper.region.components
    await components.image_tasks.clean_up()
    await ImageCopyCollection(components.database, keep_days=0).collect()
    assert await fetchval(components.database, "select count(*) from operation where kind = 'clean_up'") == 0
    assert len(await uploaded(innkeeper)) == 1
