"""An import of ten thousand machines: whatever is asked of it, other requests go on."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.maas.inventory import Inventory
from innkeeper.request_body import Body
from regiond.maas.imports.inventory_file import pack
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import inventory
from tests.maas_site.plans import WEB
from tests.support.loop_pauses import LONGEST_S, watched_loop

MACHINES = 10_000


def large() -> Inventory:
    one = inventory()
    host = one.hosts[0].id
    machines = (
        evolve(
            WEB, system_id=f"m{number}", hostname=f"vm-{number}", instance=f"vm-{number}", host_id=host, nics=(),
            hardware_uuid=f"{number:032x}",
        )
        for number in range(MACHINES)
    )  # fmt: skip
    return evolve(one, machines=tuple(machines))


@pytest.mark.slow
async def test_a_large_import_delays_no_other_request(innkeeper: Deployment) -> None:
    packed = pack(large())
    async with watched_loop() as pauses:
        begun = (await innkeeper.api.send("POST", "maas-imports/", body=Body(files={"inventory": packed}))).json()
    assert pauses.longest_s < LONGEST_S
    path = f"maas-imports/{begun['id']}/"
    async with watched_loop() as pauses:
        answer = await innkeeper.api.send("GET", path, query=[("op", "plan")])
    assert pauses.longest_s < LONGEST_S
    assert answer.json()["counts"]["machines"]["new"] == MACHINES
