"""Two clients at once on one machine, one address and one host: each gets the truth."""

from __future__ import annotations

from tests.clients.client_host import simulated_host
from tests.clients.scenarios import two_clients
from tests.clients.scenarios.two_clients import one_of
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user


async def test_one_of_two_gets_the_machine_the_address_and_the_last_cores(innkeeper: Deployment) -> None:
    host = await simulated_host(innkeeper, "farm")
    added = await innkeeper.post("vm-hosts/", type=host.type, power_address=host.address)
    await two_clients.live(innkeeper, added["id"], host)


async def test_a_ready_machine_is_deployed_by_one_of_two(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    host = await innkeeper.add_simulated("farm", cores=1, boot_ms=200)
    machine = await innkeeper.compose(host["id"], hostname="web")
    path = f"machines/{machine['system_id']}/"
    two = [await as_user(innkeeper, name) for name in ("ann", "bob")]
    won, lost = await one_of(*(user.post(path, op="deploy") for user in two))
    assert lost.details["status"] in {403, 409}
    assert (await innkeeper.get(path))["owner"] == won["owner"]
    (deployments,) = await innkeeper.fetch("select count(*) from operation where kind = 'deploy'")
    assert deployments["count"] == 1
