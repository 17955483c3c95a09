"""Juju's calls, made by gomaasapi of Debian 12."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.calls import JUJU
from tests.clients.environment import run
from tests.clients.go_programs import PROGRAMS, built, key_of
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.images import add_image


async def test_juju_bootstraps_and_ends(innkeeper: Deployment, tmp_path: Path) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    await innkeeper.add_simulated(cores=8, networks="lan:10.1.0.0/24,dmz:10.2.0.0/24:100")
    space = await innkeeper.post("spaces/", name="alpha")
    for vlan in {one["vlan"]["id"]: one for one in await innkeeper.get("subnets/") if one["cidr"] == "10.1.0.0/24"}:
        await innkeeper.put(f"vlans/{vlan}/", space="alpha")
    juju = await built(PROGRAMS / "juju.go", tmp_path / "juju")
    async with recording(innkeeper.api.url) as proxy:
        output = await run(juju, f"{proxy.url}/api/2.0/", key_of(innkeeper), str(space["id"]), HOME=str(tmp_path))
    found = json.loads(output)
    assert {"networks-management", "static-ipaddresses", "devices-management"} <= set(found["capabilities"])
    assert (found["images"] > 0, found["zones"], found["pools"], found["domain"]) == (
        True,
        "default",
        "default",
        "maas",
    )
    assert {"alpha", "undefined"} <= set(found["spaces"])
    assert (found["missing file"], found["file"], found["files"]) == (True, "c3RhdGU6IAD/", 1)
    assert (found["nothing fits"], found["allocated"]) == (True, [2, 2048, "Allocated"])
    assert (found["volumes"], found["interfaces"], found["owner data"]) == (1, 1, "true")
    assert found["root"] == 8 * 10**9
    assert len(found["addresses"]) == 1
    assert found["addresses"][0].startswith("10.1.0.")
    hostname, is_child, addresses = found["container"]
    assert (hostname, is_child, found["devices left"]) == ("juju-0-lxd-0", True, 0), "released with its machine"
    assert addresses != found["addresses"]
    assert [address.startswith("10.1.0.") for address in addresses] == [True]
    assert await innkeeper.get("files/") == []
    JUJU.check(proxy.calls)
