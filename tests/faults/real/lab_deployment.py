"""A machine of the lab is deployed with an image that boots nothing: the test reports for its guest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.faults.real.lab_hosts import LabCellHost, Lxd
from tests.faults.scenarios.cell_hosts import GuestHost
from tests.faults.scenarios.deployment import Allocated, Deploy
from tests.faults.scenarios.ownership import only_machine
from tests.faults.scenarios.scenario import Outcome, problem
from tests.faults.scenarios.site import Site
from tests.support.disk_images import MIB


class LabDeploy(Deploy):
    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"], machine["osystem"]
        has_image = await asyncio.to_thread(root_disk_has_image, state.machine.host, state)
        return [
            *problem(f"the machine is {now}", when=now != ("Deployed", "on", "admin", "custom")),
            *problem("its root disk has not the image", when=not has_image),
        ]


def root_disk_has_image(host: GuestHost, state: Any) -> bool:
    assert isinstance(state, Allocated)
    return _server(host).root_disk_begins(state.machine.hostname, MIB) == state.sha256


def has_image_copy(host: GuestHost, _: Any) -> bool:
    return bool(_server(host).server.our_images())


def _server(host: GuestHost) -> Lxd:
    assert isinstance(host, LabCellHost)
    assert isinstance(host.server, Lxd)
    return host.server
