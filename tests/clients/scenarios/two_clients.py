"""Two users at once on one machine, one address and one host: one gets it, the other learns why it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from common.errors import InnkeeperError
from tests.clients.client_host import ClientHost
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.waiting import eventually

SMALL: dict[str, Any] = {"memory": 1024, "storage": "root:4"}


async def one_of(*calls: Awaitable[Any]) -> tuple[Any, InnkeeperError]:
    """What the one call that succeeded answered, and the error of the other."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, InnkeeperError)]
    succeeded = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert (len(succeeded), len(errors)) == (1, 1), answers
    return succeeded[0], errors[0]


async def live(innkeeper: Deployment, host_id: int, host: ClientHost) -> None:
    """On a host that was added, and that has no machines; none are left."""
    nic = f"eth0:subnet={host.subnet}"
    made = [
        await innkeeper.compose(host_id, hostname=name, cores=1, interfaces=nic, **SMALL) for name in ("one", "other")
    ]
    paths = [f"machines/{one['system_id']}/" for one in made]
    await _allocate(innkeeper, made[0]["system_id"])
    await _link(innkeeper, [f"nodes/{one['system_id']}/interfaces/eth0/" for one in made], host.ip(20))
    for path in paths:
        await _delete(innkeeper, path)
    await _compose(innkeeper, host_id)


async def _allocate(innkeeper: Deployment, system_id: str) -> None:
    ann, bob = [await as_user(innkeeper, name) for name in ("ann", "bob")]
    wanted: dict[str, Any] = {"op": "allocate", "system_id": system_id}
    won, lost = await one_of(ann.post("machines/", **wanted), bob.post("machines/", **wanted))
    assert lost.details["status"] == 409
    read = await innkeeper.get(f"machines/{system_id}/")
    assert (read["owner"], read["status_name"]) == (won["owner"], "Allocated")
    assert won["owner"] in {"ann", "bob"}


async def _link(innkeeper: Deployment, nics: list[str], address: str) -> None:
    link: dict[str, Any] = {"op": "link_subnet", "mode": "STATIC", "ip_address": address, "force": True}
    subnet = (await innkeeper.get(nics[0]))["links"][0]["subnet"]["id"]
    _, lost = await one_of(*(innkeeper.post(nic, subnet=subnet, **link) for nic in nics))
    reason = str(lost.details)
    assert address in reason
    assert any(f"machine {name}" in reason for name in ("one", "other")), "it says who has the address"


async def _delete(innkeeper: Deployment, path: str) -> None:
    async def delete() -> int:
        try:
            return (await innkeeper.delete(path)).status
        except InnkeeperError as error:
            return int(error.details["status"])

    statuses = await asyncio.gather(delete(), delete())
    assert set(statuses) <= {204, 404}
    assert 204 in statuses

    async def is_gone() -> bool:
        return path.split("/")[1] not in {one["system_id"] for one in await innkeeper.get("machines/")}

    await eventually(is_gone)


async def _compose(innkeeper: Deployment, host_id: int) -> None:
    """All free cores of the host, twice."""
    cores = (await innkeeper.get(f"vm-hosts/{host_id}/"))["available"]["cores"]
    fields = {"cores": cores, **SMALL}
    won, lost = await one_of(*(innkeeper.compose(host_id, hostname=name, **fields) for name in ("one", "other")))
    assert "core" in str(lost)
    on_host = [one["system_id"] for one in await innkeeper.get("machines/") if one["pod"]["id"] == host_id]
    assert on_host == [won["system_id"]]
    await innkeeper.delete(f"machines/{won['system_id']}/")
