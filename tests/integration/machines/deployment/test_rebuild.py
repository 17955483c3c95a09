"""`op=rebuild`: a deployed machine gets another root disk and keeps its other disks, NICs, name and owner."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.doubles.guest_reports import report_of
from tests.integration.machines.deployment.test_deployments import composed, database, deploy, reaches, wait_for_boot
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.postgresql.database import execute, fetchval
from tests.support.rejections import rejection
from tests.support.waiting import eventually

JAMMY = b"\x01" * (1 << 20)


async def deployed(innkeeper: Deployment) -> Any:
    """A machine with a data disk, deployed with ubuntu/noble; ubuntu/jammy is in the catalogue, too."""
    await add_image(innkeeper, "ubuntu/noble")
    await add_image(innkeeper, "ubuntu/jammy", content=JAMMY)
    made = await innkeeper.add_simulated(cores=8, storage_gb=1000)
    machine = await innkeeper.compose(made["id"], cores=1, memory=1024, hostname="vm", storage="root:8,data:5")
    await deploy(innkeeper, machine["system_id"], distro_series="noble")
    return await reaches(innkeeper, machine["system_id"], "Deployed")


async def rebuild(innkeeper: Any, machine: Any, **fields: Any) -> Any:
    return await innkeeper.post(f"machines/{machine['system_id']}/", op="rebuild", **fields)


async def begun(innkeeper: Deployment, machine: Any, **fields: Any) -> int:
    """Returns the id of the operation."""
    return await innkeeper.begin(f"machines/{machine['system_id']}/", op="rebuild", **fields)


def identity(machine: Any) -> Any:
    nics = [(nic["name"], nic["mac_address"]) for nic in machine["interface_set"]]
    disks = [(disk["id"], disk["name"], disk["size"]) for disk in machine["blockdevice_set"]]
    return machine["hostname"], machine["owner"], machine["hardware_uuid"], nics, disks


def other_volumes(innkeeper: Deployment) -> list[Any]:
    return innkeeper.simulated().rows("select * from volume where name not like 'innkeeper-image-%' order by name")


async def test_a_rebuilt_machine_has_the_new_system_and_its_old_disks(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    first = report_of(innkeeper.simulated().user_data_of("vm"))
    before = other_volumes(innkeeper)
    with innkeeper.held("write root disk"):
        answer = await rebuild(innkeeper, vm, distro_series="jammy")
        assert (answer["status_name"], answer["owner"], answer["distro_series"]) == ("Deploying", "admin", "jammy")
    machine = await reaches(innkeeper, vm["system_id"], "Deployed")
    assert (machine["power_state"], machine["distro_series"]) == ("on", "jammy")
    assert identity(machine) == identity(vm)
    assert other_volumes(innkeeper) == before
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]
    second = report_of(innkeeper.simulated().user_data_of("vm"))
    assert first is not None
    assert second is not None
    assert first.deployment_id != second.deployment_id  # also the instance id: cloud-init runs anew
    assert [one["kind"] for one in await innkeeper.get("operations/")].count("deploy") == 2


async def test_a_rebuild_without_an_image_takes_the_present_one(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    await rebuild(innkeeper, vm)
    assert (await reaches(innkeeper, vm["system_id"], "Deployed"))["distro_series"] == "noble"


async def test_the_dry_run_names_what_is_lost_and_kept(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    plan = await rebuild(innkeeper, vm, distro_series="jammy", dry_run="true")
    assert (plan["name"], plan["confirm"]) == ("vm", "name")
    assert plan["effects"] == [
        "vm is deployed with ubuntu/jammy.",
        "Its root disk with ubuntu/noble (8.0 GB in default) and all data on it are deleted.",
        "Kept with their content: data (5.0 GB in default).",
        "Its NICs, addresses, name, owner and tags stay. The new system has new SSH host keys, and the user data of "
        "this request only.",
        "It runs: once sim has the image, it is shut down.",
    ]
    forced = await rebuild(innkeeper, vm, force="true", dry_run="true")
    assert forced["effects"][-1] == "It runs: once sim has the image, it is powered off."
    assert await innkeeper.get(f"machines/{vm['system_id']}/") == vm


@pytest.mark.slow
@pytest.mark.parametrize(("force", "step"), [("false", "shut_down"), ("true", "power_off")])
async def test_the_machine_runs_until_its_host_has_the_image(innkeeper: Deployment, force: str, step: str) -> None:
    vm = await deployed(innkeeper)
    await innkeeper.post(f"machines/{vm['system_id']}/", op="add_disk", size=1)
    with innkeeper.held("copy image"):
        operation = await begun(innkeeper, vm, distro_series="jammy", force=force)
        await eventually(innkeeper.simulated().is_holding)
        assert innkeeper.simulated().guests()["vm"].power == "on"
    await reaches(innkeeper, vm["system_id"], "Deployed")
    steps = [entry["step"] for entry in (await innkeeper.get(f"operations/{operation}/"))["log"]]
    assert steps.index("copy_image") < steps.index(step) < steps.index("write_disk")


@pytest.mark.slow
async def test_a_rebuild_that_cannot_copy_its_image_changes_nothing(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    (innkeeper.in_process.settings.state / "images" / "sha256").rename(innkeeper.folder / "away")
    operation = await begun(innkeeper, vm, distro_series="jammy")
    assert await innkeeper.ended(operation) == "failed"
    machine = await innkeeper.get(f"machines/{vm['system_id']}/")
    assert machine["status_name"] == "Deployed"
    assert (machine["power_state"], machine["distro_series"], machine["netboot"]) == ("on", "noble", False)
    (event,) = [one for one in await innkeeper.region.components.services.events.list() if one.kind == "rebuild_failed"]
    assert event.message.startswith("vm was not rebuilt and keeps ubuntu/noble: ")
    await innkeeper.post(f"machines/{vm['system_id']}/", op="release")


@pytest.mark.slow
async def test_an_abort_before_the_disk_is_written_keeps_the_system(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    before = innkeeper.simulated().image_of("vm")
    path = f"machines/{vm['system_id']}/"
    with innkeeper.held("copy image"):
        operation = await begun(innkeeper, vm, distro_series="jammy")
        await eventually(innkeeper.simulated().is_holding)
        plan = await innkeeper.post(path, op="abort", dry_run="true")
        assert "keeps its system" in plan["effects"][0]
        await innkeeper.post(path, op="abort")
    machine = await reaches(innkeeper, vm["system_id"], "Deployed")
    assert (machine["distro_series"], innkeeper.simulated().image_of("vm")) == ("noble", before)
    assert await innkeeper.ended(operation) == "cancelled"
    await rebuild(innkeeper, vm, distro_series="jammy")
    assert (await reaches(innkeeper, vm["system_id"], "Deployed"))["distro_series"] == "jammy"


@pytest.mark.slow
async def test_an_abort_afterwards_empties_the_root_disk_only(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    path = f"machines/{vm['system_id']}/"
    with innkeeper.held("power"):
        await rebuild(innkeeper, vm, force="true")
        await eventually(innkeeper.simulated().is_holding)
    with innkeeper.held("write root disk"):
        await eventually(lambda: fetchval(database(innkeeper), "select secret_hash is not null from deployment"))
        await innkeeper.post(path, op="abort")
    machine = await reaches(innkeeper, vm["system_id"], "Allocated")
    assert (machine["osystem"], machine["power_state"], machine["owner"]) == ("", "off", "admin")
    assert innkeeper.simulated().written_disks_of("vm") == [False, True]


@pytest.mark.slow
async def test_a_failed_deployment_is_rebuilt_without_a_release(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    machine = await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    await execute(database(innkeeper), "update deployment set booted_at = booted_at - interval '1 day'")
    await reaches(innkeeper, system_id, "Failed deployment")
    await rebuild(innkeeper, machine)
    await wait_for_boot(innkeeper)
    rebuilt = await innkeeper.get(f"machines/{system_id}/")
    assert (rebuilt["status_name"], rebuilt["owner"]) == ("Deploying", "admin")


@pytest.mark.slow
async def test_user_data_are_those_of_the_rebuild(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    await rebuild(innkeeper, vm, user_data=base64.b64encode(b"#!/bin/sh\necho anew\n").decode())
    await reaches(innkeeper, vm["system_id"], "Deployed")
    assert base64.b64encode(b"#!/bin/sh\necho anew\n")[:20] in innkeeper.simulated().user_data_of("vm")


async def test_only_the_owner_rebuilds_what_is_deployed_and_not_locked(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert (await rejection(rebuild(ann, vm))).details["status"] in {403, 404}
    await innkeeper.post(f"machines/{vm['system_id']}/", op="lock")
    for fields in ({}, {"dry_run": "true"}):
        assert "is locked" in (await rejection(rebuild(innkeeper, vm, **fields))).message
    await innkeeper.post(f"machines/{vm['system_id']}/", op="unlock")
    assert "or rebuild it" in (await rejection(deploy(innkeeper, vm["system_id"], distro_series="noble"))).message
    await innkeeper.post(f"machines/{vm['system_id']}/", op="release")
    for fields in ({"distro_series": "noble"}, {"distro_series": "noble", "dry_run": "true"}):
        rejected = await rejection(rebuild(innkeeper, vm, **fields))
        assert (rejected.details["status"], "deploy it" in rejected.message) == (409, True)


async def test_what_cannot_be_deployed_is_not_rebuilt(innkeeper: Deployment) -> None:
    vm = await deployed(innkeeper)
    await add_image(innkeeper, "custom/large", disk_bytes=10**12, content=b"\x02" * 1024)
    for fields in ({}, {"dry_run": "true"}):
        assert "root disk" in (await rejection(rebuild(innkeeper, vm, distro_series="custom/large", **fields))).message
        unknown = await rejection(rebuild(innkeeper, vm, distro_series="windows", **fields))
        assert isinstance(unknown, InvalidRequest)
        assert "ubuntu/jammy" in str(unknown.fields["distro_series"])
    assert (await innkeeper.get(f"machines/{vm['system_id']}/")) == vm
