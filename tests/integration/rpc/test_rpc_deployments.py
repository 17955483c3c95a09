"""RPC clients bind, clone, deploy, rebuild and export machines, and accept that one is off."""

from __future__ import annotations

import hashlib

import pytest

from common.errors import InvalidRequest, NotAllowed, NotFound, OutOfCapacity, WrongState
from regiond.clients import deployments as client_deployments
from tests.deployment.deployment import Deployment
from tests.integration.audit.test_audit_api import trail
from tests.integration.machines.deployment.test_deployments import database
from tests.integration.machines.deployment.test_rebuild import deployed
from tests.integration.machines.disks.test_disk_changes import composed, path
from tests.integration.machines.hardware import test_bound_resize
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.rpc.test_rpc_misuse import client_of
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user, own
from tests.postgresql.database import execute

LONGEST = b"#cloud-config\n".ljust(32768, b"#")
SECRET = b"#!/bin/sh\necho hunter2\n"


async def test_a_client_binds_a_machine_to_other_cores_and_pages(innkeeper: Deployment) -> None:
    machine = await test_bound_resize.composed(innkeeper, pinned_cores=[9, 10])
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        done = await region.wait((await region.resize(vm, pinned_cores=[1, 2, 3])).id)
        assert done.result["cores"] == 3
        assert await test_bound_resize.bound(innkeeper) == ([1, 2, 3], {}, 2048)
        await region.wait((await region.resize(vm, huge_pages_backed=True, huge_page_size_mib=1024)).id)
        pinned, pages, general = await test_bound_resize.bound(innkeeper)
        assert (pinned, sum(pages.values()), general) == ([1, 2, 3], 2, 0)
        await region.wait((await region.resize(vm, pin_cores=0, huge_pages_backed=False)).id)
        assert await test_bound_resize.bound(innkeeper) == ([], {}, 2048)
        with pytest.raises(OutOfCapacity, match="core 999"):
            await region.resize(vm, pinned_cores=[999])
    entries = await trail(innkeeper, action="client.resize", result="ok")
    assert any(entry["fields"].get("huge_pages_backed") == "true" for entry in entries), entries


async def test_a_client_clones_a_machine_that_is_off(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        begun = await region.clone(vm, hostname="like", cores=3, idempotency_key="c")
        done = await region.wait(begun.id)
        assert done.system_id not in {None, vm}
        assert (await region.clone(vm, hostname="like", cores=3, idempotency_key="c")).id == done.id
        await region.wait((await region.power(vm, "on")).id)
        with pytest.raises(WrongState, match="web"):
            await region.clone(vm)
    found = await innkeeper.get(f"machines/{done.system_id}/")
    assert (found["hostname"], found["cpu_count"], found["memory"]) == ("like", 3, 1024)


@pytest.mark.slow
async def test_a_client_deploys_and_rebuilds_a_machine(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    await add_image(innkeeper, "ubuntu/noble")
    async with client_of(innkeeper) as region:
        with pytest.raises(InvalidRequest, match="jammy"):
            await region.deploy(vm, image="jammy")
        with pytest.raises(InvalidRequest, match="by RPC 32768 are allowed"):
            await region.deploy(vm, image="noble", user_data=b"#" * 32769)
        await region.wait((await region.deploy(vm, image="noble", user_data=SECRET)).id)
        with pytest.raises(WrongState):
            await region.deploy(vm, image="noble")
        await add_image(innkeeper, "ubuntu/jammy", content=b"\x01" * (1 << 20))
        begun = await region.rebuild(vm, image="jammy", user_data=LONGEST, force=True, idempotency_key="r")
        await region.wait(begun.id)
        assert (await region.rebuild(vm, image="jammy", user_data=LONGEST, force=True,
                                     idempotency_key="r")).id == begun.id  # fmt: skip
    found = await innkeeper.get(path(machine))
    assert (found["status_name"], found["distro_series"], found["power_state"]) == ("Deployed", "jammy", "on")
    entries = await trail(innkeeper, object=f"machines/{vm}")
    assert {"client.deploy", "client.rebuild"} <= {entry["action"] for entry in entries}
    assert "hunter2" not in str(entries)


@pytest.mark.slow
async def test_a_client_exports_a_machine_that_is_off(innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        done = await region.wait((await region.export(vm, idempotency_key="e")).id)
        (file,) = await innkeeper.get("exports/")
        assert {"export": file["id"], "size": file["size"], "sha256": file["sha256"]}.items() <= done.result.items()
        assert (await region.export(vm, idempotency_key="e")).id == done.id
        monkeypatch.setattr(client_deployments, "MAX_DOWNLOADED_BYTES", 5000)  # of many calls
        content = b"".join([part async for part in region.download(file["id"])])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
        assert b"".join([part async for part in region.download(file["id"], start=7000)]) == content[7000:]
        assert [part async for part in region.download(file["id"], start=file["size"])] == [], "it is complete"
        for export_id, start in ((file["id"], file["size"] + 1), (file["id"] + 1, 0)):
            with pytest.raises((InvalidRequest, NotFound)):
                await anext(region.download(export_id, start=start))
        await region.wait((await region.power(vm, "on")).id)
        with pytest.raises(WrongState, match="web"):
            await region.export(vm)


async def test_a_client_sees_what_should_run_and_accepts_what_does_not(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        await region.wait((await region.power(vm, "on")).id)
        assert [(one.power_state, one.wanted_power) for one in await region.machines()] == [("on", "on")]
        with pytest.raises(WrongState, match="is on, not off"):
            await region.accept_off(vm)
        await execute(database(innkeeper), "update machine set power_state = 'off'")
        accepted = await region.accept_off(vm)
        assert (accepted.system_id, accepted.power_state, accepted.wanted_power) == (vm, "off", "off")
        with pytest.raises(NotFound):
            await region.accept_off("nosuch")
    (entry,) = await trail(innkeeper, action="client.accept_off", result="ok")
    assert entry["object"] == f"machines/{vm}"


async def test_a_client_has_no_more_rights_than_its_account(innkeeper: Deployment) -> None:
    machine = await deployed(innkeeper)
    vm = machine["system_id"]
    ann = await as_user(innkeeper, "ann")
    async with client_of(ann) as region:
        for call in (region.rebuild, region.export, region.clone, region.accept_off):
            with pytest.raises(NotAllowed):
                await call(vm)
        await own(innkeeper, vm, "ann")
        await make_deployed(innkeeper, machine)
        await region.wait((await region.rebuild(vm, force=True)).id)
