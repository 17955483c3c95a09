"""A rack enrols with a token that is valid once."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import InnkeeperError
from tests.faults.scenarios.scenario import ANSWERED, Outcome, Response, Scenario, problem
from tests.faults.scenarios.site import Site

_RACKS = "select count(*) from rack where name = $1 and removed_at is null"


class JoinRack(Scenario):
    """A caller without an answer enrols again under the same name, with a new token. The state is the rack's name."""

    name = "join_rack"
    ends = ANSWERED
    keyed = False

    async def prepare(self, site: Site) -> str:
        return site.new_name("new-rack")

    async def submit(self, site: Site, state: str, key: str) -> Response:
        await site.deployment.in_process.enrol_rack(state)
        return Response(answer=state)

    async def check(self, site: Site, state: str, outcome: Outcome) -> Iterable[str]:
        """The rack connects, and there is one rack of its name."""
        try:
            await site.deployment.start_rack(state)
        except (InnkeeperError, AssertionError, OSError) as error:
            return [f"the enrolled rack does not connect: {error}"]
        racks = await site.fetchval(_RACKS, state)
        return problem(f"{racks} racks have its name", when=racks != 1)

    async def clear(self, site: Site, state: str) -> None:
        await site.deployment.in_process.discard_rack(state)
        for rack in await site.deployment.get("racks/"):
            if rack["name"] == state:
                await site.deployment.delete(f"racks/{rack['id']}/")
