"""Pins and huge pages of a foreign libvirt guest, changed by hand, in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.lab.servers.host_setup import HUGE_PAGE_KIB, huge_pages
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.needs import require, why_no_huge_pages, why_no_libvirt
from tests.lab.support.deployed_host import add_libvirt
from tests.support.waiting import eventually

MEMORY_MIB = 64
PAGES = MEMORY_MIB * 1024 // HUGE_PAGE_KIB
FIRST, SECOND = (True, False), (False, True)  # of this machine's two cores, as virsh vcpupin writes them
_CLAIMS = """
    select c.resource, c.key, c.amount::int from claim c join guest g on g.id = c.guest_id
     where g.name = $1 and c.resource in ('pinned_core', 'huge_pages') order by 1, 2
"""


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    require(why_no_libvirt() or why_no_huge_pages())
    host = LabHost(tmp_path, prefix="iklab-pins")
    with huge_pages(PAGES * 2):
        yield host
        host.close()


def define_pinned(lab: LabHost, core: int, *, backed: bool) -> Any:
    """A foreign guest that is off, pinned to `core`, with or without huge pages."""
    name = f"{lab.prefix}foreign"
    if name not in lab.names():
        lab.make_foreign("foreign", memory_mib=MEMORY_MIB, disk=False)
    tree = lab.tree(name)
    for element in (tree.find("memoryBacking"), tree.find("cputune")):
        if element is not None:
            tree.remove(element)
    if backed:
        ET.SubElement(ET.SubElement(tree, "memoryBacking"), "hugepages")
    ET.SubElement(ET.SubElement(tree, "cputune"), "vcpupin", vcpu="0", cpuset=str(core))
    return lab.connection.defineXML(ET.tostring(tree, encoding="unicode"))


async def claims_of(innkeeper: Deployment, host_id: int, name: str) -> dict[tuple[str, str], int]:
    """The guest's claims after a refresh; the view by NUMA nodes agrees."""
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    async with innkeeper.region.components.database.connection() as db:
        claims = {(row["resource"], row["key"]): row["amount"] for row in await db.fetch(_CLAIMS, name)}
    (node, *_others) = await innkeeper.get(f"vm-hosts/{host_id}/", op="numa")
    assert {int(key) for resource, key in claims if resource == "pinned_core"} <= {*node["cores"]["used_by_others"]}
    pages = sum(one["used_by_others"] for one in node["memory"]["hugepages"])
    assert pages >= sum(amount for (resource, _), amount in claims.items() if resource == "huge_pages")
    return claims


async def test_foreign_pins_and_huge_pages_are_claimed_and_updated(lab_host: LabHost, innkeeper: Deployment) -> None:
    foreign = define_pinned(lab_host, 0, backed=True)
    pages = {("huge_pages", f"0/{HUGE_PAGE_KIB}"): PAGES}
    host_id = int((await add_libvirt(innkeeper, lab_host))["id"])

    async def is_pinned_to(core: int) -> bool:
        return await claims_of(innkeeper, host_id, foreign.name()) == {("pinned_core", str(core)): 1}

    assert await claims_of(innkeeper, host_id, foreign.name()) == {("pinned_core", "0"): 1, **pages}
    requested = {"hostname": f"{lab_host.prefix}managed", "memory": 1024, "storage": "1", "pinned_cores": [0]}
    with pytest.raises(InnkeeperError, match="core 0 is already pinned by"):
        await innkeeper.compose(host_id, **requested)
    foreign.pinVcpuFlags(0, SECOND, libvirt.VIR_DOMAIN_AFFECT_CONFIG)  # libvirt sends no event
    assert await claims_of(innkeeper, host_id, foreign.name()) == {("pinned_core", "1"): 1, **pages}
    define_pinned(lab_host, 1, backed=False)  # libvirtd cannot use pages newer than itself
    await eventually(partial(is_pinned_to, 1))
    foreign.create()
    foreign.pinVcpuFlags(0, FIRST, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    await eventually(partial(is_pinned_to, 0))
    foreign.destroy()  # now its persistent definition counts
    await eventually(partial(is_pinned_to, 1))
    foreign.undefine()
    assert await claims_of(innkeeper, host_id, f"{lab_host.prefix}foreign") == {}
