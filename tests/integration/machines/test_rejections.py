"""A machine that none of fifty hosts can take: API, CLI and operation name the first shortage of each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen

from common.errors import OutOfCapacity
from common.guests.compose_request import ComposeRequest
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import rows
from tests.unit.command.processes import finished, started

PER_SHAPE = 5  # hosts of each shape
CONCURRENT = 10
CLAIMS = "select resource, key, amount from claim order by id"
REQUIRED: dict[str, Any] = {
    "cores": 4,
    "memory": 8192,
    "hugepages_backed": "true",
    "hugepage_size": 1024,
    "interfaces": "eth0:space=dmz,type=physical",
}
REQUEST = ComposeRequest(
    cores=4, memory_mib=8192, huge_pages_backed=True, huge_page_size_mib=1024, interfaces=REQUIRED["interfaces"]
)  # fmt: skip
WHOLE: dict[str, Any] = {
    "cores": 8, "memory_mib": 32768, "hugepages_mib": 16384, "hugepage_size_mib": 1024, "virtual_functions": "1x4",
    "networks": "dmz:10.1.0.0/24:100",
}  # fmt: skip


@frozen(kw_only=True)
class Shape:
    """A host that lacks one thing of `REQUIRED`. `composed` is composed there first; `changed` updates the host."""

    reason: str
    address: dict[str, Any] = field(factory=dict)
    changed: dict[str, Any] = field(factory=dict)
    composed: dict[str, Any] = field(factory=dict)


SHAPES = {
    "small": Shape(
        address={"cores": 3},
        reason="needs 4 cores, 3 free (3 cores × ratio 1.0 = 3 claimable, 0 claimed, 0 elsewhere on the server)",
    ),
    "busy": Shape(
        address={"guests": 5},
        reason="needs 4 cores, 3 free (8 cores × ratio 1.0 = 8 claimable, 0 claimed, 5 elsewhere on the server)",
    ),
    "reserved": Shape(
        changed={"reserved_cores": 6, "cpu_over_commit_ratio": 1.5},
        reason="needs 4 cores, 3 free "
        "(2 cores × ratio 1.5 = 3 claimable, 0 claimed, 0 elsewhere on the server, 6 reserved)",
    ),
    "plain": Shape(address={"hugepages_mib": 0}, reason="needs 8 huge pages of 1 GiB, the host has none"),
    "fine": Shape(address={"hugepage_size_mib": 2}, reason="needs 8 huge pages of 1 GiB, the host has none"),
    "split": Shape(
        address={"hugepages_mib": 6144, "numa_nodes": 2},
        reason="needs 8 huge pages of 1 GiB, 3 of 3 free on node 0, 3 of 3 on node 1",
    ),
    "foreign": Shape(
        address={"pinned_guests": "0-1:9216:huge"}, reason="needs 8 huge pages of 1 GiB, 7 of 16 free on node 0"
    ),
    "narrow": Shape(address={"pools": "default:5"}, reason="needs a disk of 8.0 GB, 5.0 of 5.0 GB free in default"),
    "elsewhere": Shape(
        address={"networks": "lan:10.2.0.0/24"},
        reason="NIC eth0 needs an interface with space dmz and type physical: the host's 2 interfaces are in undefined",
    ),
    "used": Shape(
        address={"virtual_functions": "1x1"},
        composed={"interfaces": "eth0:vid=100,type=physical", "memory": 1024},
        reason="needs 1 virtual function for eth0 (space dmz and type physical), 0 of 1 free on sim0",
    ),
}


async def fifty_hosts(innkeeper: Deployment) -> dict[str, str]:
    """Returns what each host lacks, by name. The space `dmz` has the VLAN 100 that discovery found."""
    reasons: dict[str, str] = {}
    slots = asyncio.Semaphore(CONCURRENT)

    async def add(name: str, shape: Shape) -> None:
        async with slots:
            host = await innkeeper.add_simulated(name, **{**WHOLE, **shape.address})
            if shape.changed:
                await innkeeper.put(f"vm-hosts/{host['id']}/", **shape.changed)
            if shape.composed:
                await innkeeper.compose(host["id"], **shape.composed)
            reasons[name] = shape.reason

    await asyncio.gather(
        *(add(f"{name}-{number}", shape) for name, shape in SHAPES.items() for number in range(PER_SHAPE))
    )
    space = await innkeeper.post("spaces/", name="dmz")
    (subnet,) = [one for one in await innkeeper.get("subnets/") if one["cidr"] == "10.1.0.0/24"]
    vlan = subnet["vlan"]
    await innkeeper.put(f"fabrics/{vlan['fabric_id']}/vlans/{vlan['vid']}/", space=space["id"])
    return reasons


def first_reasons(explanation: dict[str, Any]) -> dict[str, str]:
    assert (explanation["chosen"], explanation["summarized"]) == (None, [])
    return {rejected["host"]: rejected["reasons"][0] for rejected in explanation["rejected"]}


@pytest.mark.slow
async def test_api_command_and_operation_report_each_of_fifty_rejections(innkeeper: Deployment) -> None:
    reasons = await fifty_hosts(innkeeper)
    assert len(reasons) == PER_SHAPE * len(SHAPES) == 50
    claims = await rows(innkeeper, CLAIMS)
    assert first_reasons(await innkeeper.post("vm-hosts/", op="place", **REQUIRED)) == reasons
    assert first_reasons(await reported_by_command(innkeeper, innkeeper.folder)) == reasons
    with pytest.raises(OutOfCapacity) as error:
        await innkeeper.region.components.services.composer.start_compose(innkeeper.admin, REQUEST)
    assert first_reasons(error.value.details["placement"]) == reasons
    assert all(f"{name}: {reason}" in error.value.message for name, reason in reasons.items())
    stored = await innkeeper.get(f"operations/{error.value.details['operation']}/")
    assert (stored["kind"], stored["state"], stored["error"]["code"]) == ("compose", "failed", "out_of_capacity")
    assert first_reasons(stored["explanation"]) == reasons
    assert stored["request"]["requested"]["interfaces"] == REQUIRED["interfaces"]
    assert await rows(innkeeper, CLAIMS) == claims


async def reported_by_command(innkeeper: Deployment, home: Path) -> dict[str, Any]:
    key = (innkeeper.in_process.settings.state / "admin.apikey").read_text().strip()
    login = await finished(await started(home, "login", "admin", innkeeper.region.api_url, key))
    assert login.status == 0, login.err
    arguments = [f"{name}={value}" for name, value in REQUIRED.items()]
    command = await finished(await started(home, "admin", "vm-hosts", "place", *arguments))
    assert command.status == 0, command.err
    explanation: dict[str, Any] = json.loads(command.out)
    return explanation
