"""An ISO image is put into the drive of a machine, and taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import uuid4

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.machines import HostMachine, composed, first_use_problems
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site
from tests.support.disk_images import checked, upload


@frozen(kw_only=True)
class WithIso:
    """A machine, and an ISO image that no host has yet."""

    machine: HostMachine
    image_id: int
    name: str
    sha256: str


async def with_iso(site: Site, *, power_on: str = "true") -> WithIso:
    machine = await composed(site, power_on=power_on)
    content = bytes(16 * 2048) + b"\x01CD001\x01" + uuid4().bytes.ljust(2041 + 2048, b"\0")
    name = f"custom/{machine.hostname}-iso"
    entry = await checked(site.deployment, await upload(site.deployment, content, name=name, filetype="iso"))
    return WithIso(machine=machine, image_id=entry["id"], name=name, sha256=entry["sha256"])


async def problems_of(site: Site, state: WithIso, wanted: WithIso | None) -> list[str]:
    """The region and the host agree on what is in the drive."""
    found = await site.deployment.get(state.machine.path)
    name, sha256 = (None, "") if wanted is None else (wanted.name, wanted.sha256)
    actual = await asyncio.to_thread(state.machine.host.iso, state.machine.hostname)
    return [
        *problem(f"{found['iso']} is known to be in the drive", when=found["iso"] != name),
        *problem(f"{found['next_iso']} is pending", when=found["next_iso"] is not None),
        *problem(f"{actual} is in the drive", when=actual not in (sha256, None)),
    ]


class InsertIso(RequestScenario):
    name = "insert_iso"
    kinds = (OperationKind.INSERT_ISO,)

    async def prepare(self, site: Site) -> WithIso:
        return await with_iso(site)

    async def request(self, site: Site, state: WithIso) -> Request:
        return Request(path=state.machine.path, op="insert_iso", fields={"image": state.name})

    async def check(self, site: Site, state: WithIso, outcome: Outcome) -> Iterable[str]:
        return await problems_of(site, state, state)

    async def clear(self, site: Site, state: WithIso) -> None:
        await site.deployment.delete(f"boot-resources/{state.image_id}/")


class InsertFirstIso(InsertIso):
    """The image is the first use of a machine that was composed as stock."""

    name = "insert_iso_first"

    async def prepare(self, site: Site) -> WithIso:
        return await with_iso(site, power_on="false")

    async def check(self, site: Site, state: WithIso, outcome: Outcome) -> Iterable[str]:
        return [*await first_use_problems(site, state.machine), *await super().check(site, state, outcome)]


class EjectIso(InsertIso):
    name = "eject_iso"
    kinds = (OperationKind.EJECT_ISO,)

    async def prepare(self, site: Site) -> WithIso:
        state = await with_iso(site)
        await site.deployment.post(state.machine.path, op="insert_iso", image=state.name)
        return state

    async def request(self, site: Site, state: WithIso) -> Request:
        return Request(path=state.machine.path, op="eject_iso")

    async def check(self, site: Site, state: WithIso, outcome: Outcome) -> Iterable[str]:
        return await problems_of(site, state, None)
