"""A change of a machine is answered at its end, however long its host takes: a failure is never reported as done.

Clients of MAAS forget what a successful DELETE has removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import frozen

from innkeeper.api_description import Method
from rackd.drivers.simulated.fault_injection import Call
from regiond.api.declaration import operation_wait
from tests.deployment.deployment import Deployment
from tests.integration.images.test_iso_images import INSTALLER, isos
from tests.support.rejections import rejection
from tests.support.waiting import eventually

QUICK_S = 0.2
NOT_LONGER = {"Prefer": ""}  # as clients without that header
NICS = "eth0:mode=unconfigured;eth1:mode=unconfigured"


@frozen(kw_only=True)
class Change:
    """A request, and the call to the host with which it takes long and then fails."""

    call: Call
    path: str  # with {machine} and {kept}
    method: Method = "POST"
    op: str | None = None
    fields: Mapping[str, Any] = {}


def action(op: str, call: Call, **fields: Any) -> Change:
    return Change(call=call, path="machines/{machine}/", op=op, fields=fields)


CHANGES = [
    action("add_disk", "attach disk", size=5),
    action("grow_disk", "grow disk", disk="sdb", size=9),
    action("move_disk", "copy disk", disk="sdb", pool="nvme"),
    action("remove_disk", "detach disk", disk="sdb"),
    action("add_interface", "attach NIC"),
    action("change_interface", "change NIC", interface="eth1", mac_address="52:54:00:00:00:77"),
    action("remove_interface", "detach NIC", interface="eth1"),
    action("resize", "resize guest", cores=2),
    action("set_boot", "set boot order", order="disk"),
    action("set_start_order", "set start order", priority=5),
    action("insert_iso", "insert ISO", image=INSTALLER),
    action("eject_iso", "eject ISO"),
    Change(call="attach disk", path="nodes/{machine}/blockdevices/", fields={"size": 5 * 10**9}),
    Change(call="grow disk", path="nodes/{machine}/blockdevices/sdb/", method="PUT", fields={"size": 9 * 10**9}),
    Change(call="detach disk", path="nodes/{machine}/blockdevices/sdb/", method="DELETE"),
    Change(call="set boot disk", path="nodes/{machine}/blockdevices/sdb/", op="set_boot_disk"),
    Change(
        call="attach NIC", path="nodes/{machine}/interfaces/", op="create_physical",
        fields={"mac_address": "52:54:00:00:00:78"},
    ),
    Change(
        call="change NIC", path="nodes/{machine}/interfaces/eth1/", method="PUT",
        fields={"mac_address": "52:54:00:00:00:79"},
    ),
    Change(call="detach NIC", path="nodes/{machine}/interfaces/eth1/", method="DELETE"),
    Change(call="remove volumes", path="kept-disks/{kept}/", method="DELETE"),
]  # fmt: skip
# Of one change that is fast, and those of MAAS's clients that remove something, every run of the first tier tests one.
SLOW = [
    one if one.method == "DELETE" and one.path.startswith("nodes") else pytest.param(one, marks=pytest.mark.slow)
    for one in CHANGES
]


@pytest.fixture(autouse=True)
def _quick_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_wait, "QUICK_ANSWER_S", QUICK_S)
    monkeypatch.setattr(operation_wait, "ACTION_ANSWER_S", QUICK_S)


async def furnished(innkeeper: Deployment) -> dict[str, Any]:
    """Returns the ids of a machine with two disks, two NICs and an ISO image, and of a kept disk."""
    host = await innkeeper.add_simulated(cores=16, memory_mib=32768, pools="local:100,nvme:50")
    await isos(innkeeper)
    machine = await innkeeper.compose(
        host["id"], hostname="web", cores=1, memory=1024, storage="root:8,data:5,old:1", interfaces=NICS
    )
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="insert_iso", image=INSTALLER)
    await innkeeper.post(path, op="remove_disk", disk="sdc", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    return {"machine": machine["system_id"], "kept": kept["id"]}


@pytest.mark.parametrize("change", SLOW, ids=[f"{one.method} {one.op or one.path}" for one in CHANGES])
async def test_a_change_that_fails_late_is_an_error(innkeeper: Deployment, change: Change) -> None:
    ids = await furnished(innkeeper)
    before = await innkeeper.get(f"machines/{ids['machine']}/")
    path = change.path.format(**ids)
    with innkeeper.simulated().refuse(change.call):
        with innkeeper.held(change.call):
            request = innkeeper.send(
                change.method, path, op=change.op, fields=dict(change.fields) or None, headers=NOT_LONGER
            )
            answer = asyncio.create_task(rejection(request))
            await eventually(innkeeper.simulated().is_holding)
            done, _ = await asyncio.wait([answer], timeout=3 * QUICK_S)
            assert not done
        error = await answer
    assert (error.details["status"], "refuses the call" in error.message) == (409, True)
    assert await innkeeper.get(f"machines/{ids['machine']}/") == before
    assert len(await innkeeper.get("kept-disks/")) == 1
