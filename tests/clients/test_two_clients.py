"""Two clients at once on one machine, one address and one host: one gets it, the other learns why it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image
from tests.integration.users import as_user
from tests.waiting import settle

NETWORKS = "dmz:10.1.0.0/24:100"


@pytest.fixture
def two(innkeeper: Deployment) -> tuple[Deployment, Deployment]:
    return settle(as_user(innkeeper, "ann")), settle(as_user(innkeeper, "bob"))


async def one_of(*calls: Awaitable[Any]) -> tuple[Any, InnkeeperError]:
    """What the one call that succeeded answered, and the error of the other."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, InnkeeperError)]
    succeeded = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert (len(succeeded), len(errors)) == (1, 1), answers
    return succeeded[0], errors[0]


async def test_a_machine_is_allocated_to_one_of_two(innkeeper: Deployment, two: tuple[Deployment, Deployment]) -> None:
    host = await innkeeper.add_simulated("farm", cores=1)
    machine = await innkeeper.compose(host["id"], hostname="web")
    ann, bob = two
    wanted = {"op": "allocate", "system_id": machine["system_id"]}
    won, lost = await one_of(ann.post("machines/", **wanted), bob.post("machines/", **wanted))
    assert lost.details["status"] == 409
    read = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert (read["owner"], read["status_name"]) == (won["owner"], "Allocated")
    assert won["owner"] in {"ann", "bob"}


async def test_a_ready_machine_is_deployed_by_one_of_two(
    innkeeper: Deployment, two: tuple[Deployment, Deployment]
) -> None:
    await add_image(innkeeper)
    host = await innkeeper.add_simulated("farm", cores=1, boot_ms=200)
    machine = await innkeeper.compose(host["id"], hostname="web")
    path = f"machines/{machine['system_id']}/"
    won, lost = await one_of(*(user.post(path, op="deploy") for user in two))
    assert lost.details["status"] in {403, 409}
    assert (await innkeeper.get(path))["owner"] == won["owner"]
    (deployments,) = await innkeeper.fetch("select count(*) from operation where kind = 'deploy'")
    assert deployments["count"] == 1


async def test_an_address_is_linked_by_one_of_two(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("farm", cores=2, networks=NETWORKS)
    made = [await innkeeper.compose(host["id"], hostname=name) for name in ("web", "db")]
    link: dict[str, Any] = {
        "op": "link_subnet",
        "mode": "STATIC",
        "subnet": "10.1.0.0/24",
        "ip_address": "10.1.0.20",
        "force": True,
    }
    nics = [f"nodes/{one['system_id']}/interfaces/eth0/" for one in made]
    _, lost = await one_of(*(innkeeper.post(nic, **link) for nic in nics))
    reason = str(lost.details)
    assert "10.1.0.20" in reason
    assert any(name in reason for name in ("web", "db")), "it says who has the address"


async def test_the_last_core_is_composed_by_one_of_two(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("farm", cores=1)
    _, lost = await one_of(*(innkeeper.compose(host["id"], hostname=name, cores=1) for name in ("web", "db")))
    assert "core" in str(lost)
    assert len(await innkeeper.get("machines/")) == 1


async def test_a_machine_that_two_delete_is_gone_for_both(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("farm")
    machine = await innkeeper.compose(host["id"], hostname="web")
    answers = await asyncio.gather(
        *(innkeeper.delete(f"machines/{machine['system_id']}/") for _ in range(2)), return_exceptions=True
    )
    statuses = [one.details["status"] if isinstance(one, InnkeeperError) else one.status for one in answers]  # type: ignore[union-attr]
    assert set(statuses) <= {204, 404}
    assert 204 in statuses
    assert await innkeeper.get("machines/") == []
