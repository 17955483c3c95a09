"""LXD hosts of a whole installation: added, and looked at as people do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from regiond.hosts.model import HostState
from tests.installation import Installation, installed
from tests.lxd_double import FakeLxd, FakeLxds

Lxds = Callable[..., FakeLxds]


async def add(innkeeper: Installation, address: str = "lxd1", **fields: Any) -> Any:
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=address, **{"name": "hv", **fields})


async def parameters(innkeeper: Installation, host: Any) -> dict[str, str]:
    found: dict[str, str] = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    assert all(isinstance(value, str) for value in found.values())
    return found


async def state(innkeeper: Installation, host: Any) -> tuple[HostState, str | None, str]:
    known = await innkeeper.region.parts.services.hosts.read(host["id"])
    return known.state, known.error_code, known.error_message or ""


async def is_ready(innkeeper: Installation, host: Any) -> bool:
    return (await state(innkeeper, host))[0] is HostState.READY


@asynccontextmanager
async def trusting(
    folder: Path, database_url: str, lxds: Lxds
) -> AsyncIterator[tuple[Installation, FakeLxd, dict[str, Any]]]:
    """An installation with a rack and one host, whose server was made to trust it by a token."""
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(folder, database_url) as innkeeper:
        await innkeeper.start_rack()
        yield innkeeper, server, await add(innkeeper, password=server.token())


async def fetched(innkeeper: Installation, url: str) -> str:
    """What `curl` gets there: nobody signs."""
    program = await asyncio.create_subprocess_exec("curl", "-sS", url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        told, _ = await program.communicate()
    return told.decode()
