"""python-libmaas: a VM host and a machine from compose to delete."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.client_host import ClientHost
from tests.clients.environment import PROGRAM_S, program, run
from tests.clients.go_programs import PROGRAMS

LIFE = PROGRAMS / "libmaas_life.py"
REST = PROGRAMS / "libmaas_rest.py"


async def live(url: str, key: str, host: ClientHost, home: Path, *, deadline_s: float = PROGRAM_S) -> None:
    """`url` is that of `/MAAS`, without a slash at its end."""
    wait_s = str(max(1.0, host.poll_s))
    output = await run(
        program("python"), str(LIFE), f"{url}/", key, host.type, host.address, host.secret, host.series, wait_s,
        HOME=str(home), deadline_s=deadline_s,
    )  # fmt: skip
    found = json.loads(output)
    assert found["user"] == "admin"
    name, kind, tags, has_cores, ratio = found["pod"]
    assert (name, kind, has_cores, ratio) == ("lib", host.type, True, 1.0)
    assert {"fast", "pod-console-logging"} <= set(tags)
    assert found["composed"] == ["libby", "READY", 1, 1024, "off"]
    assert found["disks"] == [8 * 10**9, 10**9]
    assert "lib-tag" in found["tags"]
    assert found["allocated"] == ["ALLOCATED", "admin"]
    assert found["deployed"] == ["DEPLOYED", host.series, "on"]
    assert (found["power"], found["released"], found["left"]) == ("on", "READY", [])


async def register(url: str, key: str, home: Path) -> None:
    """Lists static routes, registers a device and links a NIC of the machine `libby`, which is Ready. As `live`."""
    found = json.loads(await run(program("python"), str(REST), f"{url}/", key, HOME=str(home)))
    assert found["static routes"] == 0
    assert found["device"] == ["printer", "admin", ["printer"]]
    assert found["links"] == [True, ["AUTO"]]
