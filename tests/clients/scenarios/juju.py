"""Juju's calls, made by gomaasapi of Debian 12."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.clients.client_host import ClientHost
from tests.clients.environment import run
from tests.clients.go_programs import PROGRAMS, built
from tests.deployment.deployment import Deployment


async def juju_program(folder: Path) -> str:
    """Builds it. The test is skipped where Go or gomaasapi is missing."""
    return await built(PROGRAMS / "juju.go", folder / "juju")


async def space_of(innkeeper: Deployment, cidr: str) -> str:
    """The id of a new space `alpha` with the subnet."""
    (subnet,) = (one for one in await innkeeper.get("subnets/") if one["cidr"] == cidr)
    space = await innkeeper.post("spaces/", name="alpha")
    await innkeeper.put(f"vlans/{subnet['vlan']['id']}/", space="alpha")
    return str(space["id"])


async def bootstrap_and_end(
    program: str, url: str, key: str, space: str, host: ClientHost, *, deadline_s: float = 120.0
) -> Any:
    """What the program found, after the checks. `url` is that of `/MAAS`; the guest has `deadline_s` to boot."""
    poll_ms, wait_s = str(int(host.poll_s * 1000)), str(int(deadline_s))
    output = await run(
        program, f"{url}/api/2.0/", key, space,
        HOME=str(Path(program).parent), JUJU_WAIT_S=wait_s, JUJU_POLL_MS=poll_ms, deadline_s=deadline_s + 60,
    )  # fmt: skip
    found = json.loads(output)
    assert {"networks-management", "static-ipaddresses", "devices-management"} <= set(found["capabilities"])
    assert found["images"] > 0
    assert (found["zones"], found["pools"], found["domain"]) == ("default", "default", "maas")
    assert {"alpha", "undefined"} <= set(found["spaces"])
    assert (found["missing file"], found["file"], found["files"]) == (True, "c3RhdGU6IAD/", 1)
    assert (found["nothing fits"], found["allocated"]) == (True, [2, 2048, "Allocated"])
    assert (found["volumes"], found["interfaces"], found["owner data"]) == (1, 1, "true")
    assert found["root"] == 8 * 10**9
    network = host.ip(0).removesuffix("0")
    assert [address.startswith(network) for address in found["addresses"]] == [True]
    hostname, is_child, addresses = found["container"]
    assert (hostname, is_child, found["devices left"]) == ("juju-0-lxd-0", True, 0), "released with its machine"
    assert addresses != found["addresses"]
    assert [address.startswith(network) for address in addresses] == [True]
    return found
