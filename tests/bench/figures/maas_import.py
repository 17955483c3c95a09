"""Measures an import from MAAS: the time until its machines are here, on simulated hosts, and the CPU time of each."""

from __future__ import annotations

import gzip
import json
import time
from functools import partial

from common.maas.inventory import Host, Inventory, Machine, Origin, SourceKind, User
from common.serialization import to_dict
from innkeeper.request_body import Body
from tests.bench.daemons import region_and_rack
from tests.bench.machine import cpu_s
from tests.bench.measuring import Bench, Line
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

WANTED_S, MACHINES = 120.0, 5000
HOSTS = 10
_HARDWARE = "cores=512&memory_mib=4194304&storage_gb=100000"
_LONGEST_S = 1200.0


async def measure(bench: Bench) -> list[Line]:
    """The rate of a smaller import is compared with that which the whole one needs."""
    each = bench.size(MACHINES // HOSTS, 50)
    hosts = bench.size(HOSTS, 4, 1)
    async with region_and_rack(bench) as deployment:
        body = Body(files={"inventory": gzip.compress(json.dumps(to_dict(_inventory(hosts, each))).encode())})
        begun = (await deployment.api.send("POST", "maas-imports/", body=body)).json()
        plan = await deployment.get(f"maas-imports/{begun['id']}/", op="plan")
        busy_s = {name: _busy_s(deployment, name) for name in ("region", "rack")}
        began = time.monotonic()
        await _apply(deployment, begun["id"], json.dumps(plan).encode())
        took_s = time.monotonic() - began
        machines = hosts * each
        cpu_ms = {name: (_busy_s(deployment, name) - before) / machines * 1000 for name, before in busy_s.items()}
    return [
        Line(
            key="maas-import",
            what=f"import of {machines} machines on {hosts} simulated hosts from MAAS",
            wanted=f"{MACHINES} in ≤ {WANTED_S:.0f} s",
            measured=f"{took_s:.1f} s, {machines / took_s:.0f}/s; CPU of each: "
            f"{cpu_ms['region']:.1f} ms of the region, {cpu_ms['rack']:.1f} ms of the rack",
            good=machines / took_s >= MACHINES / WANTED_S,
            numbers={
                "whole_s": round(took_s, 2), "rate_per_s": round(machines / took_s, 1), "machines": machines,
                "region_cpu_ms": round(cpu_ms["region"], 2), "rack_cpu_ms": round(cpu_ms["rack"], 2),
            },
        )
    ]  # fmt: skip


def _busy_s(deployment: Deployment, name: str) -> float:
    return cpu_s(deployment.processes.running[name].pid)


def _inventory(hosts: int, each: int) -> Inventory:
    """Deployed machines of one owner."""
    return Inventory(
        origin=Origin(kind=SourceKind.DUMP, label="maas.sql", version="3.7", uuid="bench", name="bench"),
        users=(User(id="2", username="ops", email="ops@example.com"),),
        hosts=tuple(
            Host(id=str(number), name=f"kvm-{number}", power_type="simulated",
                 power_address=f"simulated:kvm-{number}?{_HARDWARE}&guests={each}")
            for number in range(hosts)
        ),
        machines=tuple(
            Machine(system_id=f"{host:02}{number:04}", hostname=f"vm-{host}-{number}", host_id=str(host), status=6,
                    instance=f"foreign-{number:04}", owner="ops", owner_data=(("juju-model-uuid", "bench"),))
            for host in range(hosts)
            for number in range(1, each + 1)
        ),
    )  # fmt: skip


async def _apply(deployment: Deployment, import_id: int, plan: bytes) -> None:
    """Returns when all is imported; asks rarely, which costs the region little."""
    answer = await deployment.api.send(
        "POST", f"maas-imports/{import_id}/", query=[("op", "apply")], body=Body(files={"plan": plan}),
        headers={"Prefer": "respond-async"},
    )  # fmt: skip
    path = f"operations/{answer.json()['id']}/"
    await eventually(partial(_is_ended, deployment, path), deadline_s=_LONGEST_S, every_s=0.5)
    ended = await deployment.get(path)
    if ended["state"] != "succeeded":
        raise AssertionError(f"the import ended {ended['state']}: {ended['error']}")


async def _is_ended(deployment: Deployment, path: str) -> bool:
    return bool((await deployment.get(path))["state"] in {"succeeded", "failed", "cancelled"})
