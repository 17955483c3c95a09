"""The preview of a compose: the host before and after, how many VMs fit, and the free space of storage pools."""

from __future__ import annotations

from typing import Any

from common.hosts.capacity import ResourceCapacity
from regiond.ui.machines.compose.compose_form import ComposeForm, DiskRow
from regiond.ui.machines.compose.compose_preview import preview_of
from regiond.ui.views.meter import asked_meter

GB = 10**9


def resource(claimable: int, claimed: int = 0, elsewhere: int = 0) -> dict[str, int]:
    free = claimable - claimed - elsewhere
    return {"total": claimable, "claimable": claimable, "claimed": claimed, "elsewhere": elsewhere, "free": free}


CAPACITY: dict[str, Any] = {
    "cores": resource(16, 3, 1), "memory_mib": resource(32768, 8192), "storage_bytes": resource(3000 * GB, 500 * GB),
    "storage_pools": {"local": resource(500 * GB, 100 * GB), "nvme": resource(2500 * GB, 400 * GB)},
    "pinned_cores": None, "huge_pages": {"2048": resource(1024)}, "virtual_functions": {},
}  # fmt: skip
SMALL: dict[str, Any] = {**CAPACITY, "cores": resource(4), "storage_pools": {"nvme": resource(50 * GB)}}
PLACED: dict[str, Any] = {
    "chosen": "oak", "chosen_id": 1, "notes": [], "nics": [], "pinned_cores": [], "huge_pages": [],
    "disks": [
        {"label": "root", "size": 8 * GB, "storage_pool": "local"},
        {"label": "disk1", "size": 300 * GB, "storage_pool": "nvme"},
    ],
    "fitting": [
        {"host": "oak", "host_id": 1, "score": 0.5, "unmet": [], "capacity": CAPACITY},
        {"host": "ash", "host_id": 2, "score": 0.4, "unmet": [], "capacity": SMALL},
        {"host": "elm", "host_id": 3, "score": 0.3, "unmet": [], "capacity": None},
    ],
    "rejected": [], "summarized": [], "refused": None,
    "placements": [{"host": "oak", "host_id": 1}, {"host": "ash", "host_id": 2}, {"host": "oak", "host_id": 1}],
}  # fmt: skip
FORM = ComposeForm(
    values={"count": "3", "cores": "4", "memory": "2048"},
    disks=(DiskRow(number=0), DiskRow(number=1, size="300", pool="nvme")),
)


def test_the_chosen_host_is_shown_before_and_after_its_vms() -> None:
    preview = preview_of(FORM, PLACED)
    assert (preview.fitting, preview.wanted, preview.hosts) == (3, 3, [("oak", 2), ("ash", 1)])
    assert [(meter.label, meter.asked, meter.left, meter.whole, meter.unit) for meter in preview.meters] == [
        ("CPU cores", "8", "4", "16", "cores"),
        ("RAM", "4", "20", "32", "GiB"),
        ("Storage pool local", "16", "384", "500", "GB"),
        ("Storage pool nvme", "0.6", "1.5", "2.5", "TB"),
    ]
    assert preview.leaves == {"cores": 4, "memory_mib": 2048, "storage_bytes": 308 * GB}


def test_the_texts_below_fields_say_what_is_free() -> None:
    assert preview_of(FORM, PLACED).helps == {
        "cores": "4–12 free where it fits",
        "memory": "24 GiB free where it fits",
        "disk0-pool": "local on oak: 400 GB free",
        "disk1-pool": "nvme on oak: 2.1 TB free",
    }


def test_without_a_host_only_the_largest_pool_is_known() -> None:
    rejected = [{"host": "oak", "host_id": 1, "reasons": ["x"], "checks": ["storage"], "capacity": CAPACITY}]
    nowhere = {**PLACED, "chosen": None, "chosen_id": None, "disks": [], "fitting": [], "rejected": rejected}
    preview = preview_of(FORM, {**nowhere, "placements": []})
    assert (preview.fitting, preview.meters) == (0, ())
    assert preview.helps == {"disk1-pool": "At most 2.1 TB free in nvme on one host"}


def test_memory_in_huge_pages_is_shown_in_pages() -> None:
    pages = {**PLACED, "huge_pages": [{"node": 0, "page_size": 2 * 1024 * 1024, "pages": 512}]}
    meters = preview_of(FORM, pages).meters
    assert [(meter.label, meter.asked, meter.left) for meter in meters][1] == ("Huge pages of 2 MiB", "1,024", "0")


def test_what_is_asked_stands_between_what_is_allocated_and_what_is_left() -> None:
    meter = asked_meter("CPU cores", ResourceCapacity(**resource(16, 4, 4)), 4, unit="cores")
    assert [(part.kind, part.start, part.width) for part in meter.parts] == [
        ("ours", "0%", "25%"), ("others", "25%", "25%"), ("ask", "50%", "25%"),
    ]  # fmt: skip
    assert meter.description == "CPU cores: 8 allocated, 4 asked, 4 left of 16 cores"
