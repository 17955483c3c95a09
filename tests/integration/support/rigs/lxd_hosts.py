"""Adds LXD hosts to a deployment and reads their state."""

from __future__ import annotations

import asyncio
from typing import Any

from common.words.hidden_text import revealed
from regiond.hosts.model import HostState
from tests.deployment.deployment import Deployment


async def add(innkeeper: Deployment, address: str = "lxd1", **fields: Any) -> Any:
    """`fields` may name the host; the default is `hv`, in another project with the name of that project."""
    project = fields.get("project")
    given = {"name": f"hv-{project}" if project else "hv", **fields}
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=address, **given)


async def parameters(innkeeper: Deployment, host: Any) -> dict[str, str]:
    found: dict[str, str] = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    assert all(isinstance(value, str) for value in found.values())
    return found


async def state(innkeeper: Deployment, host: Any) -> tuple[HostState, str | None, str]:
    known = await innkeeper.region.components.services.hosts.read(host["id"], caller=None)
    return known.state, known.error_code, revealed(known.error_message or "")


async def is_ready(innkeeper: Deployment, host: Any) -> bool:
    return (await state(innkeeper, host))[0] is HostState.READY


async def fetched(innkeeper: Deployment, url: str) -> str:
    """Downloads the page with `curl`, without credentials."""
    program = await asyncio.create_subprocess_exec("curl", "-sS", url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        output, _ = await program.communicate()
    return output.decode()
