"""python-libmaas 0.6.8 and its `maas` command, as PyPI has them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.clients.calls import LIBMAAS, LIBMAAS_COMMAND
from tests.clients.environment import program, run
from tests.clients.go_programs import PROGRAMS, key_of
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image
from tests.waiting import eventually

ADDRESS = "simulated:lib?cores=8&networks=lan:10.1.0.0/24"


async def test_libmaas_runs_a_machine_from_compose_to_delete(innkeeper: Deployment, tmp_path: Path) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    life = str(PROGRAMS / "libmaas_life.py")
    async with recording(innkeeper.api.url) as proxy:
        output = await run(program("python"), life, f"{proxy.url}/", key_of(innkeeper), ADDRESS, HOME=str(tmp_path))
    found = json.loads(output)
    assert found["user"] == "admin"
    assert found["pod"][:4] == ["lib", "simulated", ["fast", "pod-console-logging", "simulated"], 8]
    assert found["composed"] == ["libby", "READY", 2, 2048, "off"]
    assert found["disks"] == [10**10, 5 * 10**9]
    assert found["tags"][-1] == "lab" or "lab" in found["tags"]
    assert found["allocated"] == ["ALLOCATED", "admin"]
    assert found["deployed"] == ["DEPLOYED", "noble", "on"]
    assert (found["power"], found["released"], found["left"]) == ("on", "READY", [0, 0])
    LIBMAAS.check(proxy.calls)


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
