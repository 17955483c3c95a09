"""Missing cores, NUMA nodes and huge pages are rejected before compose."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.errors import InnkeeperError, NotFound, OutOfCapacity, Unsupported
from common.values import HugePages, NumaNode, OwnershipMarker
from rackd.drivers.libvirt.definitions.cpu_xml import check_host
from tests.contract.support.guest_samples import small_guest

NODES = tuple(
    NumaNode(
        node_id=number,
        core_ids=(2 * number, 2 * number + 1),
        memory_mib=4096,
        huge_pages=(HugePages(size_kib=2048, total=512),),
    )
    for number in (0, 1)
)
MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
SPEC = small_guest("web", MARKER, memory_mib=1024, pinned_core_ids=(3,), numa_node_ids=(1,), huge_page_size_kib=2048)


def test_existing_cores_nodes_and_pages_are_accepted() -> None:
    check_host(SPEC, NODES)
    check_host(evolve(SPEC, memory_mib=2048, numa_node_ids=()), NODES)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"pinned_core_ids": (4,)}, NotFound, "core 4"),
        ({"numa_node_ids": (0, 2)}, NotFound, "NUMA node 2"),
        ({"huge_page_size_kib": 1048576}, Unsupported, "1048576 KiB"),
        ({"memory_mib": 1026}, OutOfCapacity, "513 huge pages of 2048 KiB; the server has 512"),
    ],
)
def test_missing_cores_nodes_and_pages_are_named(
    changes: dict[str, Any], error: type[InnkeeperError], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_host(evolve(SPEC, **changes), NODES)


def test_a_host_without_numa_facts_is_not_checked() -> None:
    check_host(SPEC, ())
