"""Sentences and forms of errors that programs for MAAS look for, and errors that name what acts on a machine."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.support.rejections import invalid_fields, rejection

ALLOCATE = ("machines/", "allocate")


@pytest.mark.parametrize(
    ("path", "op", "fields", "field", "sentence"),
    [
        ("tags/", None, {"name": "edge"}, "name", "Tag with this Name already exists."),
        (*ALLOCATE, {"tags": "nope"}, "tags", "No such tag(s): 'nope'."),
        (*ALLOCATE, {"tags": "nope,neither"}, "tags", "No such tag(s): 'nope', 'neither'."),
        (*ALLOCATE, {"not_tags": "nope"}, "not_tags", "No such tag(s): 'nope'."),
        (*ALLOCATE, {"zone": "nope"}, "zone", "No such zone: 'nope'."),
        (*ALLOCATE, {"not_in_zone": "nope"}, "not_in_zone", "No such zone: 'nope'."),
        (*ALLOCATE, {"pool": "nope"}, "pool", "No such pool: 'nope'."),
        ("vm-hosts/sim/", None, {"zone": "nope"}, "zone", "No such zone: 'nope'."),
        ("vm-hosts/sim/", None, {"pool": "nope"}, "pool", "No such pool: 'nope'."),
    ],
)
async def test_errors_begin_as_those_of_maas(
    innkeeper: Deployment, path: str, op: str | None, fields: dict[str, Any], field: str, sentence: str
) -> None:
    await innkeeper.add_simulated()
    await innkeeper.post("tags/", name="edge")
    sent = innkeeper.put(path, **fields) if path.startswith("vm-hosts") else innkeeper.post(path, op=op, **fields)
    (message,) = (await invalid_fields(sent))[field]
    assert message.startswith(sentence)


async def test_the_operation_that_acts_on_a_machine_is_named(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    path = f"machines/{machine['system_id']}/"
    with innkeeper.held("power"):
        acting = await innkeeper.begin(path, op="power_on")
        error = await rejection(innkeeper.post(path, op="resize", cores=2))
        bulk = await innkeeper.post("machines/", op="bulk", action="power_off", machines="web", dry_run="true")
    named = rf"Another operation acts on machine web: operation {acting} \(power\), since 20[0-9: -]{{17}} UTC\. "
    assert re.match(named, error.message)
    assert re.search(named, bulk["effects"][0])
