"""An allocated machine is deployed, one that was deployed is released, and a host is removed that has a copy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from uuid import uuid4

from attrs import evolve, frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.cell_hosts import GuestHost
from tests.faults.scenarios.hosts.hosts import RemoveHost
from tests.faults.scenarios.machines import HostMachine, composed, first_use_problems
from tests.faults.scenarios.ownership import only_machine
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, Response, problem
from tests.faults.scenarios.site import Site
from tests.support.disk_images import raw_disk, upload
from tests.support.waiting import eventually


@frozen(kw_only=True)
class Allocated:
    """An allocated machine, and an image that no host has yet."""

    machine: HostMachine
    image_id: int
    sha256: str

    def image_on_disk(self, site: Site) -> str | None:
        return site.deployment.simulated(self.machine.host.name).image_of(self.machine.hostname)


async def allocated(site: Site, host: GuestHost | None = None) -> Allocated:
    made = await composed(site, host=host)
    await site.deployment.post("machines/", op="allocate", name=made.hostname)
    image = await upload(site.deployment, raw_disk(seed=uuid4().int >> 64), name=made.hostname)
    return Allocated(machine=made, image_id=image["id"], sha256=image["sha256"])


async def _is_deployed(site: Site, machine: HostMachine) -> bool:
    return str((await site.deployment.get(machine.path))["status_name"]) == "Deployed"


class _WithImage(RequestScenario):
    async def clear(self, site: Site, state: Allocated) -> None:
        await site.deployment.delete(f"boot-resources/{state.image_id}/")


class Deploy(_WithImage):
    name = "deploy"
    kinds = (OperationKind.DEPLOY,)

    async def prepare(self, site: Site) -> Allocated:
        return await allocated(site)

    async def request(self, site: Site, state: Allocated) -> Request:
        return Request(path=state.machine.path, op="deploy", fields={"distro_series": state.machine.hostname})

    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"], machine["osystem"]
        image = state.image_on_disk(site)
        return [
            *await first_use_problems(site, state.machine),
            *problem(f"the machine is {now}", when=now != ("Deployed", "on", "admin", "custom")),
            *problem(f"its root disk has the image {image}", when=image != state.sha256),
        ]


class Rebuild(_WithImage):
    """The machine is deployed with an image, and has a data disk; the rebuild takes another image."""

    name = "rebuild"
    kinds = (OperationKind.DEPLOY,)

    async def prepare(self, site: Site) -> Allocated:
        first = await allocated(site)
        await site.deployment.post(first.machine.path, op="add_disk", size=1)
        await site.deployment.post(first.machine.path, op="deploy", distro_series=first.machine.hostname)
        await eventually(partial(_is_deployed, site, first.machine))
        await site.deployment.delete(f"boot-resources/{first.image_id}/")
        name = f"{first.machine.hostname}-2"
        image = await upload(site.deployment, raw_disk(seed=uuid4().int >> 64), name=name)
        return evolve(first, image_id=image["id"], sha256=image["sha256"])

    async def request(self, site: Site, state: Allocated) -> Request:
        return Request(path=state.machine.path, op="rebuild", fields={"distro_series": f"{state.machine.hostname}-2"})

    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"], machine["osystem"]
        host = site.deployment.simulated(state.machine.host.name)
        written = await asyncio.to_thread(host.written_disks_of, state.machine.hostname)
        image = state.image_on_disk(site)
        return [
            *problem(f"the machine is {now}", when=now != ("Deployed", "on", "admin", "custom")),
            *problem(f"its root disk has the image {image}", when=image != state.sha256),
            *problem(f"which of its disks hold data: {written}", when=len(written) < 2 or not all(written)),
        ]


class ReleaseDeployed(_WithImage):
    name = "release_deployed"
    kinds = (OperationKind.RELEASE,)

    async def prepare(self, site: Site) -> Allocated:
        made = await allocated(site)
        await site.deployment.post(made.machine.path, op="deploy", distro_series=made.machine.hostname)
        await eventually(partial(_is_deployed, site, made.machine))
        return made

    async def request(self, site: Site, state: Allocated) -> Request:
        return Request(path=state.machine.path, op="release")

    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        machine = await only_machine(site)
        if machine is None:
            return ["there is not exactly one machine"]
        now = machine["status_name"], machine["power_state"], machine["owner"], machine["osystem"]
        image = state.image_on_disk(site)
        return [
            *problem(f"the machine is {now}", when=now != ("Ready", "off", None, "")),
            *problem("its root disk has an operating system", when=image is not None),
        ]


class RemoveHostWithImage(_WithImage):
    """The host has a copy of an image, and a machine that was deployed with it."""

    name = "remove_host_with_image"
    kinds = (OperationKind.REMOVE_HOST, OperationKind.DELETE)
    waits, keyed = False, False
    removal = RemoveHost(decompose=True)

    async def prepare(self, site: Site) -> Allocated:
        made = await allocated(site, await site.add(site.new_host()))
        await site.deployment.post(made.machine.path, op="deploy", distro_series=made.machine.hostname)
        await eventually(partial(_is_deployed, site, made.machine))
        await site.deployment.post(made.machine.path, op="release")
        made.machine.host.after = await site.newest_operation()
        return made

    async def request(self, site: Site, state: Allocated) -> Request:
        return await self.removal.request(site, state.machine.host)

    async def known(self, site: Site, state: Allocated) -> Response | None:
        return await self.removal.known(site, state.machine.host)

    async def check(self, site: Site, state: Allocated, outcome: Outcome) -> Iterable[str]:
        copies = await asyncio.to_thread(site.deployment.simulated(state.machine.host.name).images)
        return [
            *problem(f"copies of images on the host: {copies}", when=bool(copies)),
            *await self.removal.check(site, state.machine.host, outcome),
        ]

    async def clear(self, site: Site, state: Allocated) -> None:
        await super().clear(site, state)
        await self.removal.clear(site, state.machine.host)
