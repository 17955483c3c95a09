"""Composes from a machine as template: content of its disks, and its hardware where the request gives none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_clones import composed, written
from tests.integration.machines.disks.test_disk_changes import GB, path
from tests.integration.machines.disks.test_disk_moves import claimed, write
from tests.integration.support.adoption import rows
from tests.support.rejections import outcomes


async def from_template(innkeeper: Deployment, template: str = "web", **fields: Any) -> Any:
    made = await innkeeper.compose(innkeeper.hosts["sim"], hostname="new", template=template, **fields)
    return await innkeeper.get(path(made))


def sizes(machine: Any) -> list[tuple[int, str]]:
    return [(one["size"] // GB, one["storage_pool_name"]) for one in machine["blockdevice_set"]]


async def test_what_is_not_given_is_as_the_template_has_it(innkeeper: Deployment) -> None:
    await composed(innkeeper, max_cores=4, secure_boot="true", tpm="true")
    write(innkeeper)
    made = await from_template(innkeeper)
    assert (made["cpu_count"], made["memory"], made["status_name"]) == (2, 3072, "Allocated")
    assert (made["max_cores"], made["secure_boot"], made["tpm"]) == (4, True, True)
    assert sizes(made) == [(8, "local"), (5, "nvme")]
    assert written(innkeeper) == 4


async def test_what_is_given_replaces_that_of_the_template(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    made = await from_template(
        innkeeper, source["system_id"], cores=1, memory=1024,
        storage="root:10,data:5(pool:local),more:3(pool:nvme,x,y)",
        interfaces="eth0:name=default;eth1:name=default",
    )  # fmt: skip
    assert (made["cpu_count"], made["memory"]) == (1, 1024)
    assert sizes(made) == [(10, "local"), (5, "local"), (3, "nvme")]
    assert [nic["name"] for nic in made["interface_set"]] == ["eth0", "eth1"]
    assert await claimed(innkeeper, made) == {"local": 15, "nvme": 3}
    query = "select position, written.volume is not null from disk join guest using (guest_id) left join written"
    found = rows(innkeeper, f"{query} using (pool, volume) where name = 'new' order by position")
    assert [bool(is_written) for _, is_written in found] == [True, True, False]
    assert await innkeeper.discrepancies() == []


async def test_a_disk_without_a_size_is_as_large_as_the_templates(innkeeper: Deployment) -> None:
    await composed(innkeeper, storage="root:12")
    assert sizes(await from_template(innkeeper, storage="root:0")) == [(12, "local")]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"storage": "root:7,data:5"}, "400: storage: Disk 1 has 7.0 GB; root of web, whose content it gets, has 8.0"),
        ({"storage": "root:8"}, "400: storage: web has 2 disks, and the request names only 1."),
        ({"template": "nothing"}, "404: There is no machine 'nothing' to copy."),
        ({"cores": 0}, "400: cores:"),
        ({"interfaces": "eth0:name=none"}, "503: "),
        ({"storage": "root:8,data:60(pool:nvme)"}, "503: "),
    ],
)
async def test_what_cannot_be_is_refused(innkeeper: Deployment, fields: dict[str, Any], reason: str) -> None:
    await composed(innkeeper)
    (refused,) = await outcomes([from_template(innkeeper, **fields)])
    assert refused.startswith(reason)
    assert len(await innkeeper.get("machines/")) == 1


async def test_a_template_on_another_host_is_named(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    other = await innkeeper.add_simulated("other", cores=4)
    (refused,) = await outcomes([innkeeper.compose(other["id"], hostname="new", template="web")])
    assert refused == "400: template: web is on the VM host sim: compose there."


async def test_pinned_cores_are_as_many_others(innkeeper: Deployment) -> None:
    await composed(innkeeper, pin_cores=2, cores=1)
    await from_template(innkeeper)
    found = await innkeeper.fetch("select pinned_core_ids from machine order by id")
    first, second = (set(one["pinned_core_ids"]) for one in found)
    assert len(first) == len(second) == 2
    assert not first & second
