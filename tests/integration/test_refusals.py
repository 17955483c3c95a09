"""A machine that none of fifty hosts takes: each says what it lacks first, in numbers, wherever it is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from common.errors import OutOfCapacity
from regiond.machines.model import ComposeRequest
from tests.installation import Installation, installed
from tests.unit.command.processes import finished, started

pytestmark = pytest.mark.same_sql

ALIKE = 5  # hosts of each shape
AT_ONCE = 10
ASKED: dict[str, Any] = {
    "cores": 4,
    "memory": 8192,
    "hugepages_backed": "true",
    "hugepage_size": 1024,
    "interfaces": "eth0:space=dmz,type=physical",
}
REQUEST = ComposeRequest(
    cores=4, memory_mib=8192, huge_pages_backed=True, huge_page_size_mib=1024, interfaces=ASKED["interfaces"]
)  # fmt: skip
WHOLE: dict[str, Any] = {
    "cores": 8, "memory_mib": 32768, "hugepages_mib": 16384, "hugepage_size_mib": 1024, "virtual_functions": "1x4",
    "networks": "dmz:10.1.0.0/24:100",
}  # fmt: skip


@frozen(kw_only=True)
class Shape:
    """A host that lacks one thing of `ASKED`. `composed` is made there first; `changed` is what its owner says."""

    lacks: str
    address: dict[str, Any] = field(factory=dict)
    changed: dict[str, Any] = field(factory=dict)
    composed: dict[str, Any] = field(factory=dict)


SHAPES = {
    "small": Shape(address={"cores": 3}, lacks="cores: 4 asked, 3 of 3 × 1.0 = 3 left"),
    "busy": Shape(address={"guests": 5}, lacks="cores: 4 asked, 3 of 8 × 1.0 = 8 left"),
    "kept": Shape(
        changed={"reserved_cores": 6, "cpu_over_commit_ratio": 1.5},
        lacks="cores: 4 asked, 3 of (8 - 6 reserved) × 1.5 = 3 left",
    ),
    "plain": Shape(address={"hugepages_mib": 0}, lacks="huge pages: 8 of 1 GiB asked, the host has none"),
    "fine": Shape(address={"hugepage_size_mib": 2}, lacks="huge pages: 8 of 1 GiB asked, the host has none"),
    "split": Shape(
        address={"hugepages_mib": 6144, "numa_nodes": 2},
        lacks="huge pages: 8 of 1 GiB asked, 3 of 3 free on node 0, 3 of 3 on node 1",
    ),
    "foreign": Shape(
        address={"pinned_guests": "0-1:9216:huge"}, lacks="huge pages: 8 of 1 GiB asked, 7 of 16 free on node 0"
    ),
    "narrow": Shape(
        address={"pools": "default:5"}, lacks="storage: a disk of 8.0 GB asked, 5.0 of 5.0 GB left in default"
    ),
    "elsewhere": Shape(
        address={"networks": "lan:10.2.0.0/24"},
        lacks="interfaces: eth0 asks for space dmz and type physical: the host's 2 interfaces are in undefined",
    ),
    "used": Shape(
        address={"virtual_functions": "1x1"},
        composed={"interfaces": "eth0:vid=100,type=physical", "memory": 1024},
        lacks="virtual functions: 1 asked for eth0 (space dmz and type physical), 0 of 1 left on sim0",
    ),
}


async def fifty_hosts(made: Installation) -> dict[str, str]:
    """What each lacks, by name. The space `dmz` is the VLAN 100 that was learned of them."""
    await made.start_rack()
    lacks: dict[str, str] = {}
    turn = asyncio.Semaphore(AT_ONCE)

    async def add(name: str, shape: Shape) -> None:
        async with turn:
            host = await made.add_simulated(name, **{**WHOLE, **shape.address})
            if shape.changed:
                await made.put(f"vm-hosts/{host['id']}/", **shape.changed)
            if shape.composed:
                await made.compose(host["id"], **shape.composed)
            lacks[name] = shape.lacks

    await asyncio.gather(*(add(f"{name}-{number}", shape) for name, shape in SHAPES.items() for number in range(ALIKE)))
    space = await made.post("spaces/", name="dmz")
    (subnet,) = [one for one in await made.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
    vlan = subnet["vlan"]
    await made.put(f"fabrics/{vlan['fabric_id']}/vlans/{vlan['vid']}/", space=space["id"])
    return lacks


def first_lacks(explanation: dict[str, Any]) -> dict[str, str]:
    assert (explanation["chosen"], explanation["left_out"]) == (None, [])
    return {refused["host"]: refused["reasons"][0] for refused in explanation["refused"]}


async def test_each_of_fifty_hosts_names_what_it_lacks_in_the_api_the_command_and_the_stored_operation(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as made:
        lacks = await fifty_hosts(made)
        assert len(lacks) == ALIKE * len(SHAPES) == 50
        claims = await claimed(made)
        assert first_lacks(await made.post("vm-hosts/", op="place", **ASKED)) == lacks
        assert first_lacks(await told_by_command(made, tmp_path)) == lacks
        with pytest.raises(OutOfCapacity) as refused:
            await made.region.parts.services.machines.start_compose(made.admin, REQUEST)
        assert first_lacks(refused.value.details["placement"]) == lacks
        assert all(f"{name}: {lack}" in refused.value.message for name, lack in lacks.items())
        stored = await made.get(f"operations/{refused.value.details['operation']}/")
        assert (stored["kind"], stored["state"], stored["error"]["code"]) == ("compose", "failed", "out_of_capacity")
        assert first_lacks(stored["explanation"]) == lacks
        assert stored["request"]["asked"]["interfaces"] == ASKED["interfaces"]
        assert await claimed(made) == claims


async def claimed(made: Installation) -> list[tuple[str, str | None, int]]:
    async with made.region.parts.database.connection() as db:
        return [tuple(row) for row in await db.fetch("select resource, key, amount from claim order by id")]


async def told_by_command(made: Installation, home: Path) -> dict[str, Any]:
    key = (made.settings.state / "admin.apikey").read_text().strip()
    login = await finished(await started(home, "login", "admin", made.region.api_url, key))
    assert login.status == 0, login.err
    words = [f"{name}={value}" for name, value in ASKED.items()]
    ran = await finished(await started(home, "admin", "vm-hosts", "place", *words))
    assert ran.status == 0, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    return told
