"""python-libmaas 0.6.8 and its `maas` command, as PyPI has them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.clients.calls import LIBMAAS, LIBMAAS_COMMAND
from tests.clients.client_host import simulated_host
from tests.clients.environment import program, run
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.libmaas import live, register
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image
from tests.support.waiting import eventually


async def test_libmaas_runs_a_machine_from_compose_to_delete(innkeeper: Deployment, tmp_path: Path) -> None:
    host = await simulated_host(innkeeper, "lib")
    async with recording(innkeeper.api.url) as proxy:
        await live(proxy.url, key_of(innkeeper), host, tmp_path)
    LIBMAAS.check(proxy.calls)


async def test_libmaas_lists_routes_registers_devices_and_links_nics(innkeeper: Deployment, tmp_path: Path) -> None:
    host = await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24")
    await innkeeper.compose(host["id"], hostname="libby", cores=1, memory=1024)
    async with recording(innkeeper.api.url) as proxy:
        await register(proxy.url, key_of(innkeeper), tmp_path)
    LIBMAAS.check(proxy.calls, "routes, devices and links")


async def test_the_maas_command_lists_and_deploys(innkeeper: Deployment, tmp_path: Path) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    host = await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24")
    await innkeeper.compose(host["id"], hostname="connie", cores=1, memory=1024)
    async with recording(innkeeper.api.url) as proxy:

        async def maas(*arguments: str) -> str:
            return await run(program("maas"), *arguments, HOME=str(tmp_path))

        await maas("login", "--profile-name", "lab", "--apikey", key_of(innkeeper), f"{proxy.url}/")
        assert "connie" in await maas("machines", "--no-pager", "--format", "csv")
        assert "connie" in await maas("machine", "connie", "--no-pager", "--format", "json")
        await maas("deploy", "ubuntu/noble", "connie")
        assert "Deployed" in await maas("machines", "--no-pager", "--format", "csv", "connie")
        await maas("release", "--no-wait", "connie")
        lists = (maas(kind, "--no-pager", "--format", "csv") for kind in ("fabrics", "subnets", "spaces", "tags"))
        await asyncio.gather(*lists, maas("fabric", "fabric-0", "--no-pager", "--format", "json"))

        async def is_released() -> bool:
            return bool((await innkeeper.get("machines/"))[0]["status_name"] == "Ready")

        await eventually(is_released)
    LIBMAAS_COMMAND.check(proxy.calls)
