"""The disk of a machine that a request names: by id, name or label."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest, NotFound
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import DiskView


def disk(number: int, index: int, label: str = "") -> DiskView:
    return DiskView(
        id=number, index=index, volume=f"v{index}", storage_pool_name="local", storage_pool_key="local",
        size_bytes=10**9, serial="", tags=(), label=label,
    )  # fmt: skip


DISKS = (disk(40, 0), disk(41, 1, "data"), disk(42, 2), disk(43, 4, "sda5"), disk(44, 5, "41"))


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("40", 0), ("id:40", 0), ("root", 0), ("sda", 0), ("name:sda", 0),
        ("data", 1), ("sdb", 1), ("41", 1), ("id:41", 1),
        ("disk2", 2), ("sdc", 2), ("sda5", 4), ("sde", 4), ("name:41", 5),
    ],
)  # fmt: skip
def test_a_disk_is_named_by_id_name_or_label(text: str, index: int) -> None:
    assert named_disk("web", DISKS, text).index == index


@pytest.mark.parametrize("text", ["", "sdd", "disk1", "45", "id:data", "name:40", "DATA"])
def test_another_text_names_no_disk(text: str) -> None:
    with pytest.raises(NotFound, match=f"web has no disk {text}; it has root, data, disk2, sda5, 41."):
        named_disk("web", DISKS, text)


def test_a_label_like_the_name_of_another_disk_is_refused() -> None:
    told = r"sdb is the name of one disk of web .*: 7 \(disk1, sdb\), 8 \(sdb, sdc\)"
    with pytest.raises(InvalidRequest, match=told):
        named_disk("web", (disk(7, 1), disk(8, 2, "sdb")), "sdb")
    assert named_disk("web", (disk(7, 1, "sdb"),), "sdb").id == 7
