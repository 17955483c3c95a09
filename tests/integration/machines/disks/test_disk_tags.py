"""Tags of disks: those of the compose stay, others are added and removed, and allocations find them."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.postgresql.database import execute
from tests.support.rejections import invalid_fields

_SET = "update machine_disk set tags = $2 where id = $1"


async def tagged_disk(innkeeper: Deployment, *tags: str) -> tuple[Any, str]:
    """Returns a machine whose disk has the tags, and the path of the disk."""
    host = await innkeeper.add_simulated(cores=8, storage_gb=1000)
    made = await innkeeper.compose(host["id"], cores=1, memory=1024)
    machine = await innkeeper.get(f"machines/{made['system_id']}/")
    (disk,) = machine["blockdevice_set"]
    await execute(innkeeper.region.components.database, _SET, disk["id"], tags)
    return machine, f"nodes/{made['system_id']}/blockdevices/{disk['id']}/"


async def test_a_disk_composed_with_a_tag_of_any_characters_takes_more(innkeeper: Deployment) -> None:
    machine, path = await tagged_disk(innkeeper, "nvme.fast")
    assert (await innkeeper.post(path, op="add_tag", tag="ssd"))["tags"] == ["nvme.fast", "ssd"]
    found = await innkeeper.post("machines/", op="allocate", storage="8(ssd)")
    assert found["system_id"] == machine["system_id"]
    assert set(await invalid_fields(innkeeper.post(path, op="add_tag", tag="not.one"))) == {"tag"}
    assert (await innkeeper.post(path, op="remove_tag", tag="nvme.fast"))["tags"] == ["ssd"]


async def test_a_disk_has_at_most_100_tags(innkeeper: Deployment) -> None:
    _, path = await tagged_disk(innkeeper, *(f"tag-{number}" for number in range(100)))
    refused = await invalid_fields(innkeeper.post(path, op="add_tag", tag="one-more"))
    assert refused == {"tag": ["A disk has at most 100 tags."]}
    assert len((await innkeeper.post(path, op="add_tag", tag="tag-7"))["tags"]) == 100
