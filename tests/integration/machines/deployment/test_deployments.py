"""`op=deploy` on simulated hosts: from the request to the guest's report, and back by release, abort and deletion."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from common.errors import InvalidRequest
from rackd.drivers.simulated.fault_injection import Call
from regiond.db.pool import Database
from regiond.machines.running.deployment import steps
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.doubles.guest_reports import report_of
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.postgresql.database import execute, fetchval
from tests.support.rejections import rejection
from tests.support.waiting import eventually


def database(innkeeper: Deployment) -> Database:
    return innkeeper.region.components.database


async def composed(innkeeper: Deployment, **host: Any) -> str:
    """The system id of a ready machine on a new host."""
    made = await innkeeper.add_simulated(cores=8, storage_gb=1000, **host)
    return str((await innkeeper.compose(made["id"], cores=1, memory=1024, hostname="vm"))["system_id"])


async def deploy(innkeeper: Any, system_id: str, **fields: Any) -> Any:
    return await innkeeper.post(f"machines/{system_id}/", op="deploy", **fields)


async def status(innkeeper: Any, system_id: str) -> str:
    return str((await innkeeper.get(f"machines/{system_id}/"))["status_name"])


async def reaches(innkeeper: Deployment, system_id: str, wanted: str) -> Any:
    """Returns the machine once it has this status."""
    await eventually(lambda: _has(innkeeper, system_id, wanted))
    return await innkeeper.get(f"machines/{system_id}/")


async def _has(innkeeper: Deployment, system_id: str, wanted: str) -> bool:
    return await status(innkeeper, system_id) == wanted


async def test_a_machine_is_deployed_when_its_guest_has_reported(innkeeper: Deployment) -> None:
    sha256 = await add_image(innkeeper, "ubuntu/noble")
    system_id = await composed(innkeeper)
    with innkeeper.held("write root disk"):
        answer = await deploy(innkeeper, system_id, distro_series="noble")
    assert (answer["status_name"], answer["osystem"], answer["distro_series"], answer["owner"]) == (
        "Deploying", "ubuntu", "noble", "admin",
    )  # fmt: skip
    machine = await reaches(innkeeper, system_id, "Deployed")
    assert (machine["power_state"], machine["netboot"], machine["status"]) == ("on", False, 6)
    assert innkeeper.simulated().image_of("vm") == sha256
    assert await fetchval(database(innkeeper), "select secret_hash is null and state = 'deployed' from deployment")


async def test_a_deployment_without_a_way_to_log_in_warns(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    path = f"machines/{await composed(innkeeper)}/"
    answer = await innkeeper.send("POST", path, op="deploy", fields={"distro_series": "noble"})
    assert answer.warnings == (
        "admin has no SSH key and there is no user data: nobody will be able to log in to vm, unless its image has an "
        "account for that. Add a key (innkeeper sshkeys create key@=FILE.pub) before you deploy it again.",
    )


@pytest.mark.slow
async def test_the_report_ends_the_wait(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "next_look_s", lambda *_: 3600.0)
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot_ms=1500)  # after the operation has begun to wait
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")


@pytest.mark.slow
@pytest.mark.parametrize("boot_ms", [0, 5])
async def test_a_report_before_the_wait_is_not_overlooked(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch, boot_ms: int
) -> None:
    monkeypatch.setattr(steps, "next_look_s", lambda *_: 3600.0)
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot_ms=boot_ms)
    for _ in range(3):
        await deploy(innkeeper, system_id)
        await reaches(innkeeper, system_id, "Deployed")
        await innkeeper.post(f"machines/{system_id}/", op="release")


@pytest.mark.slow
async def test_ten_deployments_copy_the_image_once(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host = await innkeeper.add_simulated(cores=16, memory_mib=32768, storage_gb=1000)
    made = [await innkeeper.compose(host["id"], cores=1, memory=1024) for _ in range(10)]
    await deploy(innkeeper, made[0]["system_id"])
    await reaches(innkeeper, made[0]["system_id"], "Deployed")
    (innkeeper.in_process.settings.state / "images" / "sha256").rename(innkeeper.folder / "away")  # nobody can copy it
    for machine in made[1:]:
        await deploy(innkeeper, machine["system_id"])
    for machine in made:
        await reaches(innkeeper, machine["system_id"], "Deployed")
    assert len(innkeeper.simulated().images()) == 1


async def test_release_empties_the_root_disk(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper)
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")
    released = await innkeeper.post(f"machines/{system_id}/", op="release")
    assert (released["status_name"], released["osystem"], released["netboot"], released["power_state"]) == (
        "Ready", "", True, "off",
    )  # fmt: skip
    assert innkeeper.simulated().image_of("vm") is None
    await deploy(innkeeper, system_id)
    await reaches(innkeeper, system_id, "Deployed")


@pytest.mark.slow
async def test_a_guest_that_never_reports_fails_its_deployment(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    await execute(database(innkeeper), "update deployment set booted_at = booted_at - interval '1 day'")
    machine = await reaches(innkeeper, system_id, "Failed deployment")
    assert "did not report within 1800 s" in machine["status_message"]
    assert machine["power_state"] == "on"  # so that its console can be looked at
    assert "Kernel panic" in await console_of_failure(innkeeper, system_id)
    released = await innkeeper.post(f"machines/{system_id}/", op="release")
    assert (released["status_name"], released["status_message"]) == ("Ready", "")
    assert await console_of_failure(innkeeper, system_id) == ""


async def console_of_failure(innkeeper: Deployment, system_id: str) -> str:
    query = [("of_failed_deployment", "true")]
    return (await innkeeper.send("GET", f"machines/{system_id}/", op="console_log", query=query)).text


async def wait_for_boot(innkeeper: Deployment) -> None:
    await eventually(lambda: fetchval(database(innkeeper), "select booted_at is not null from deployment"))


async def test_an_aborted_deployment_leaves_an_empty_allocated_machine(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    assert (await innkeeper.post(f"machines/{system_id}/", op="abort"))["status_name"] in {"Deploying", "Allocated"}
    machine = await reaches(innkeeper, system_id, "Allocated")
    assert (machine["osystem"], machine["power_state"]) == ("", "off")
    assert innkeeper.simulated().image_of("vm") is None
    assert (await rejection(innkeeper.post(f"machines/{system_id}/", op="abort"))).details["status"] == 409


@pytest.mark.parametrize("method", ["release", "delete"])
async def test_release_and_deletion_stop_a_deployment(innkeeper: Deployment, method: str) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    if method == "release":
        released = await innkeeper.post(f"machines/{system_id}/", op="release")
        assert (released["status_name"], released["owner"]) == ("Ready", None)
        assert innkeeper.simulated().image_of("vm") is None
    else:
        await innkeeper.delete(f"machines/{system_id}/")
        assert innkeeper.simulated_guests() == []


@pytest.mark.parametrize(("held", "step"), [("copy image", "copy_image"), ("write root disk", "write_disk")])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_release_does_not_wait_until_a_host_has_stopped_deploying(
    innkeeper: Deployment, method: str, held: Call, step: str
) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper)
    path, op = f"machines/{system_id}/", "release" if method == "POST" else None
    with innkeeper.held(held):
        deployment = await innkeeper.begin(path, op="deploy")
        at_step = "select step = $2 from operation where id = $1"
        await eventually(lambda: fetchval(database(innkeeper), at_step, deployment, step))
        operation = await innkeeper.begin(path, op=op, method=method)  # answered although the host does not
        assert await innkeeper.ended(deployment) == "cancelled"
        assert await status(innkeeper, system_id) == "Releasing"
    assert await innkeeper.ended(operation) == "succeeded"
    if method == "POST":
        assert await status(innkeeper, system_id) == "Ready"
        assert (innkeeper.simulated().image_of("vm"), (await innkeeper.get(path))["power_state"]) == (None, "off")
    else:
        assert innkeeper.simulated_guests() == []


async def test_nobody_else_stops_a_deployment(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    ann = await as_user(innkeeper, "ann")
    for op in ("release", "abort", "deploy"):
        rejected = await rejection(ann.post(f"machines/{system_id}/", op=op))
        assert rejected.details["status"] in {403, 404}
    assert await status(innkeeper, system_id) == "Deploying"


async def test_an_unknown_image_is_rejected_with_those_there_are(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    system_id = await composed(innkeeper)
    rejected = await rejection(deploy(innkeeper, system_id, distro_series="windows"))
    assert isinstance(rejected, InvalidRequest)
    assert "ubuntu/noble" in str(rejected.fields["distro_series"])
    assert await status(innkeeper, system_id) == "Ready"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"ephemeral_deploy": "true"}, "ephemeral_deploy"),
        ({"enable_hw_sync": "true"}, "enable_hw_sync"),
        ({"user_data": "not base64!"}, "user_data"),
        ({"user_data": base64.b64encode(b"what is this").decode()}, "user_data"),
    ],
)
async def test_what_cannot_be_deployed_is_rejected(innkeeper: Deployment, fields: dict[str, str], name: str) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper)
    rejected = await rejection(deploy(innkeeper, system_id, **fields))
    assert isinstance(rejected, InvalidRequest)
    assert name in rejected.fields
    assert await status(innkeeper, system_id) == "Ready"


async def test_a_root_disk_smaller_than_the_image_is_rejected(innkeeper: Deployment) -> None:
    await add_image(innkeeper, disk_bytes=10**12)
    system_id = await composed(innkeeper)
    rejected = await rejection(deploy(innkeeper, system_id))
    assert (rejected.details["status"], "1000000000000" in rejected.message) == (409, True)


async def test_of_two_deployments_at_once_one_is_rejected(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    assert (await rejection(deploy(innkeeper, system_id))).details["status"] == 409


async def test_user_data_reaches_the_guest_and_leaves_the_region(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot_ms=0)
    script = b"#!/bin/sh\n" + b"# padding\n" * 90_000  # more than a frame of a link, once encoded
    with innkeeper.held("write root disk"):
        await deploy(innkeeper, system_id, user_data=base64.encodebytes(script).decode())
        sealed = await fetchval(database(innkeeper), "select sealed_user_data from deployment")
        assert script not in sealed
    await reaches(innkeeper, system_id, "Deployed")
    assert b"IyEvYmluL3NoCiMgcGFkZGluZw" in innkeeper.simulated().user_data_of("vm").replace(b"\n", b"")
    assert await fetchval(database(innkeeper), "select sealed_user_data is null from deployment")


@pytest.mark.slow
async def test_a_restarted_region_continues_a_deployment(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot_ms=300)
    with innkeeper.held("write root disk"):
        operation = await innkeeper.post(f"machines/{system_id}/", op="deploy", headers=ASYNC)
        await eventually(lambda: fetchval(database(innkeeper), "select secret_hash is not null from deployment"))
        await innkeeper.region.components.engine.stop()
        innkeeper.region.components.engine.start()
    assert await innkeeper.ended(operation["id"]) == "succeeded"
    assert await status(innkeeper, system_id) == "Deployed"


async def test_a_report_counts_once_and_only_with_its_secret(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    system_id = await composed(innkeeper, boot="fails")
    await deploy(innkeeper, system_id)
    await wait_for_boot(innkeeper)
    found = report_of(innkeeper.simulated().user_data_of("vm"))
    assert found is not None
    id_, secret = found.deployment_id, found.secret
    assert await report(innkeeper, f"{id_}/{'x' * 43}") == 404
    assert await report(innkeeper, f"{id_ + 1}/{secret}") == 404
    assert await report(innkeeper, f"{'9' * 30}/{secret}") == 404
    assert await status(innkeeper, system_id) == "Deploying"
    assert await report(innkeeper, f"{id_}/{secret}") == 204
    assert await report(innkeeper, f"{id_}/{secret}") in {404, 409}
    await reaches(innkeeper, system_id, "Deployed")


async def report(innkeeper: Deployment, path: str) -> int:
    """Posts as cloud-init does, and returns the status."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "instance_id=i&hostname=vm&fqdn=vm.maas"]
    url = f"{innkeeper.region.api_url}report/{path}"
    program = await asyncio.create_subprocess_exec(*command, url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        output, _ = await program.communicate()
    return int(output)
