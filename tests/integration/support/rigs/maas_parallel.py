"""A running MAAS that a region watches: its import, comparisons, takeovers and the ways back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from innkeeper.request_body import Body
from regiond.maas.parallel.watch import ParallelWatch
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import apply, plan
from tests.integration.support.adoption import rows
from tests.maas_api.authentication import api_key
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import simulated_maas
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NAMES, NORTH, SOUTH

ADMIN_TOKEN = 1
DEPLOYING = 9


@pytest.fixture
def maas() -> Maas:
    return simulated_maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


async def begin(innkeeper: Deployment, maas: Maas, url: str) -> Any:
    body = Body(fields=[("url", url), ("key", api_key(maas, ADMIN_TOKEN)), ("watch", "true")])
    return (await innkeeper.api.send("POST", "maas-imports/", body=body)).json()


async def watched(innkeeper: Deployment, maas: Maas, url: str, *, unreachable: bool = False) -> Any:
    """Returns the import, applied: two hosts are here; the others are left out, or `unreachable`."""
    begun = await begin(innkeeper, maas, url)
    await bring(innkeeper, begun, unreachable=unreachable)
    return begun


async def bring(innkeeper: Deployment, begun: Any, *, unreachable: bool = False) -> None:
    document = await plan(innkeeper, begun)
    for kind, objects in document["objects"].items():
        for one in objects:
            if kind == "hosts" and one["source_id"] not in {str(NORTH), str(SOUTH)} and not unreachable:
                one["choice"] = "leave_out"
            elif one["state"] == "conflict" and not one["choice"]:
                one["choice"] = next(choice for choice in one["choices"] if not choice.endswith("="))
    operation = await apply(innkeeper, begun, document)
    assert operation["state"] == ("failed" if unreachable else "succeeded"), operation["error"]


async def compare(innkeeper: Deployment, begun: Any) -> Any:
    return await innkeeper.post(f"maas-imports/{begun['id']}/", op="compare")


async def differences(innkeeper: Deployment, begun: Any) -> list[tuple[str, str, str, str, str]]:
    found = await compare(innkeeper, begun)
    return [(one["name"], one["vm"], one["kind"], one["in_maas"], one["here"]) for one in found["differences"]]


async def hosts(innkeeper: Deployment) -> dict[str, Any]:
    return {one["name"]: one for one in await innkeeper.get("vm-hosts/")}


async def take_over(innkeeper: Deployment, host: int, **fields: Any) -> Any:
    found = (await hosts(innkeeper))[NAMES[host]]
    return await innkeeper.post(f"vm-hosts/{found['id']}/", op="take_over", **fields)


async def give_back(innkeeper: Deployment, host: int, **fields: Any) -> Any:
    found = (await hosts(innkeeper))[NAMES[host]]
    return await innkeeper.post(f"vm-hosts/{found['id']}/", op="give_back", **fields)


async def machines(innkeeper: Deployment) -> list[str]:
    return sorted(one["hostname"] for one in await innkeeper.get("machines/"))


def vms(innkeeper: Deployment, host: int) -> list[Any]:
    """The guests of the simulated host without their markers."""
    statement = "select guest_id, name, power, cores, memory_mib from guest order by name"
    return rows(innkeeper, statement, name=NAMES[host])


def marked(innkeeper: Deployment, host: int) -> list[str]:
    statement = "select name from guest where machine_id is not null order by name"
    return [one[0] for one in rows(innkeeper, statement, name=NAMES[host])]


async def is_empty(innkeeper: Deployment) -> bool:
    return not await machines(innkeeper)


def parallel_watch(innkeeper: Deployment) -> ParallelWatch:
    """The task that compares watched imports."""
    return next(one for one in innkeeper.region.components.of_extensions if isinstance(one, ParallelWatch))
