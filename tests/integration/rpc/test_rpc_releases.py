"""RPC clients release machines and adopt guests, with the refusals of the HTTP API."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import IdempotencyMismatch, InvalidRequest, NotAllowed, NotFound, WrongState
from common.rpc.commands.client_commands import CLIENT_RELEASE
from innkeeper import rpc
from tests.deployment.deployment import Deployment
from tests.integration.audit.test_audit_api import trail
from tests.integration.machines.disks.test_disk_changes import composed, path
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.rpc.test_rpc_client_certificates import issue, user
from tests.integration.rpc.test_rpc_misuse import address_of, client_of
from tests.integration.support.users import own


async def test_a_client_releases_a_machine(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    await own(innkeeper, vm, "admin")
    async with client_of(innkeeper) as region:
        with pytest.raises(InvalidRequest, match="comment"):
            await region.release(vm, comment="a\0b")
        begun = await region.release(vm, comment="done", idempotency_key="r")
        assert begun is not None
        await region.wait(begun.id)
        again = await region.release(vm, comment="done", idempotency_key="r")
        assert again is not None
        assert again.id == begun.id
        with pytest.raises(IdempotencyMismatch):
            await region.release(vm, comment="other", idempotency_key="r")
        assert await region.release(vm) is None  # it has no owner
        with pytest.raises(NotFound):
            await region.release("absent")
    found = await innkeeper.get(path(machine))
    assert (found["status_name"], found["owner"]) == ("Ready", None)
    entries = await trail(innkeeper, action="client.release", result="ok")
    assert {entry["object"] for entry in entries} == {f"machines/{vm}"}
    assert "done" in {entry["fields"].get("comment") for entry in entries}


async def test_a_repeat_gets_its_operation_after_the_machine_was_deleted(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    vm = (await innkeeper.post("machines/", op="allocate"))["system_id"]
    async with client_of(innkeeper) as region:
        begun = await region.release(vm, idempotency_key="r")
        assert begun is not None
        await region.wait(begun.id)
        assert await region.machines() == ()
        again = await region.release(vm, idempotency_key="r")
        assert again is not None
        assert again.id == begun.id
        with pytest.raises(NotFound):
            await region.release(vm)


async def test_a_locked_machine_is_not_released(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await make_deployed(innkeeper, machine)
    await innkeeper.post(path(machine), op="lock")
    async with client_of(innkeeper) as region:
        with pytest.raises(WrongState, match="is locked"):
            await region.release(machine["system_id"])


def test_a_release_that_asks_for_a_dry_run_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"client\.release has no dry run"):
        CLIENT_RELEASE.request_of({"system_id": "abc", "dry_run": True})


async def test_a_client_adopts_guests_and_releases_one_only_expressly(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(guests=3)
    async with client_of(innkeeper) as region:
        (first,) = await region.adopt("sim", ["foreign-0001"], hostname="web")
        assert first.operation is not None
        await region.wait(first.operation.id)
        assert (first.guest, first.hostname, first.rejected) == ("foreign-0001", "web", None)
        rest = await region.adopt("sim", everything=True)
        assert sorted(one.guest for one in rest) == ["foreign-0002", "foreign-0003"]
        for one in rest:
            assert one.operation is not None
            await region.wait(one.operation.id)
        assert len(await region.machines()) == 3
        assert first.system_id is not None
        with pytest.raises(WrongState, match="adopted"):
            await region.release(first.system_id)
        released = await region.release(first.system_id, release_adopted=True, force=True)
        assert released is not None
        await region.wait(released.id)
    (entry, *_) = await trail(innkeeper, action="client.adopt", result="ok")
    assert entry["fields"]["host"] == "sim"


async def test_adoptions_that_are_refused_adopt_nothing(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(guests=2)
    async with client_of(innkeeper) as region:
        refused: list[tuple[str, list[str], dict[str, Any]]] = [
            ("either guests or everything", [], {}),
            ("either guests or everything", ["foreign-0001"], {"everything": True}),
            ("exactly one", ["foreign-0001", "foreign-0002"], {"hostname": "web"}),
            ("no virtual machine 'absent'", ["foreign-0001", "absent"], {}),
            ("hostname", ["foreign-0001"], {"hostname": "-bad-"}),
            ("hostname", ["foreign-0001"], {"hostname": "a\0b"}),
            ("hostname", ["foreign-0001"], {"hostname": "two.labels"}),
            ("nobody", ["foreign-0001"], {"owner": "nobody"}),
        ]
        for match, guests, options in refused:
            with pytest.raises(InvalidRequest, match=match):
                await region.adopt("sim", guests, **options)
        with pytest.raises(NotFound, match="nowhere"):
            await region.adopt("nowhere", everything=True)
        assert await region.machines() == ()
    folder = await issue(innkeeper, await user(innkeeper, "ann"), "of-ann")
    async with rpc.connect(address_of(innkeeper), folder=folder) as region:
        with pytest.raises(NotAllowed):
            await region.adopt("sim", everything=True)
