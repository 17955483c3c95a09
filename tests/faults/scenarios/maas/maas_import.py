"""What a MAAS knew is imported: all is here exactly once, and guests get our marker, however often a process is killed.

Where a host did not answer, the import says so, and the same plan is carried out again.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from common.maas.inventory import (
    ApiKey,
    Fabric,
    Host,
    Inventory,
    IpRange,
    Link,
    Machine,
    Named,
    Nic,
    Origin,
    SourceKind,
    Subnet,
    User,
    Vlan,
)
from common.serialization import to_dict
from common.words.operation_kinds import OperationKind
from innkeeper.request_body import Body
from tests.deployment.deployment import ENDED
from tests.faults.scenarios.cell_hosts import FOREIGN, SimulatedCellHost
from tests.faults.scenarios.scenario import Outcome, Response, Scenario, problem
from tests.faults.scenarios.site import Site
from tests.support.waiting import eventually

_ADD_NIC = "insert into nic select guest_id, 0, ?, 'bridge', 'lan' from guest where name = ?"
_COUNTS = """
    select (select count(*) from zone where name = $1) as zones,
           (select count(*) from resource_pool where name = $1) as pools,
           (select count(*) from tag where name = $1) as tags,
           (select count(*) from fabric where name = $1) as fabrics,
           (select count(*) from vlan where name = $1) as vlans,
           (select count(*) from subnet where name = $1) as subnets,
           (select count(*) from ip_range where comment = $1) as ranges,
           (select count(*) from account where username = $1) as users,
           (select count(*) from api_key k join account a on a.id = k.account_id where a.username = $1) as keys,
           (select count(*) from vm_host where name = any($2::text[])) as hosts
"""
_CLAIMS = """
    select m.system_id, host(a.address) as address
      from ip_address a join machine m on m.id = a.machine_id order by 1, 2
"""
_DEPLOYED, _READY, _DEPLOYING = 6, 4, 9


@frozen(kw_only=True)
class ReadMaas:
    """A MAAS that was read, and the plan of its import. `name` is that of each of its objects but hosts and machines.

    `before` are the guests of its hosts, by host and name.
    """

    name: str
    hosts: tuple[SimulatedCellHost, ...]
    import_id: int
    plan: bytes
    address: str
    before: Mapping[tuple[str, str], Any]

    @property
    def system_ids(self) -> tuple[str, ...]:
        return tuple(f"{self.name.replace('-', '')}x{number}" for number, _ in enumerate(self.hosts))


def _inventory(name: str, hosts: Iterable[SimulatedCellHost], number: int) -> Inventory:
    """A deployed machine with an address on the first host; on the second a ready one, and one in motion."""
    network = f"10.{100 + number // 256}.{number % 256}"
    plain = name.replace("-", "")
    first, second = (one.name for one in hosts)
    link = Link(mode="static", subnet=f"{network}.0/24", ip=f"{network}.40")
    return Inventory(
        origin=Origin(kind=SourceKind.DUMP, label=f"{name}.sql", version="3.7", uuid=name, name=name),
        zones=(Named(id="2", name=name),),
        pools=(Named(id="1", name=name),),
        tags=(Named(id="1", name=name),),
        fabrics=(Fabric(id="1", name=name),),
        vlans=(Vlan(id="11", vid=77, fabric=name, name=name),),
        subnets=(Subnet(id="5", cidr=f"{network}.0/24", name=name, vlan_id="11"),),
        ranges=(IpRange(id="1", subnet=f"{network}.0/24", type="reserved", start_ip=f"{network}.2",
                        end_ip=f"{network}.9", comment=name),),
        users=(
            User(
                id="2", username=name, email=f"{name}@example.com",
                api_keys=(ApiKey(consumer=f"{plain:a>18}", token=f"{plain:b>18}", secret="c" * 32),),
            ),
        ),
        hosts=tuple(
            Host(id=one.name, name=one.name, power_type="simulated", power_address=one.fields["power_address"],
                 zone=name, pool=name, tags=(name,))
            for one in hosts
        ),
        machines=(
            Machine(
                system_id=f"{plain}x0", hostname=f"vm-{first}", instance=f"vm-{first}", host_id=first, zone=name,
                pool=name, status=_DEPLOYED, owner=name, tags=(name,),
                nics=(Nic(name="eth0", mac_address=_mac(number), links=(link,)),),
            ),
            Machine(
                system_id=f"{plain}x1", hostname=f"vm-{second}", instance=f"vm-{second}", host_id=second, zone=name,
                pool=name, status=_READY,
            ),
            Machine(
                system_id=f"{plain}x2", hostname="busy", instance=f"busy-{second}", host_id=second, zone=name,
                pool=name, status=_DEPLOYING, owner=name,
            ),
        ),
    )  # fmt: skip


def _mac(number: int) -> str:
    return f"52:54:00:77:{number // 256:02x}:{number % 256:02x}"


async def new_unknown_host(site: Site) -> SimulatedCellHost:
    """A host with guests that the deployment does not know."""
    host = site.new_host()
    assert isinstance(host, SimulatedCellHost)
    await site.add(host)  # only a rack makes the host's file
    await site.deployment.delete(host.path)
    host.host_id = 0
    return host


async def _applied(site: Site, state: ReadMaas, headers: Mapping[str, str]) -> Response:
    answer = await site.deployment.api.send(
        "POST", f"maas-imports/{state.import_id}/", query=[("op", "apply")], body=Body(files={"plan": state.plan}),
        headers=headers,
    )  # fmt: skip
    response = Response.by(answer)
    return response if response.operation_id else Response(operation_id=response.answer["id"], answer=response.answer)


class ImportFromMaas(Scenario):
    """An import that fails because a host did not answer has imported the rest; it is then carried out again."""

    name = "import_from_maas"
    kinds = (OperationKind.IMPORT, OperationKind.ADOPT)
    ends = frozenset({"succeeded", "failed"})

    async def prepare(self, site: Site) -> ReadMaas:
        name = site.new_name("maas")
        hosts = (await new_unknown_host(site), await new_unknown_host(site))
        number = site.names
        for host in hosts:
            await asyncio.to_thread(host.file.add_foreign, f"vm-{host.name}", f"busy-{host.name}")
            assert not await site.find(host)
        await asyncio.to_thread(hosts[0].file.rows, _ADD_NIC, _mac(number), f"vm-{hosts[0].name}")
        found = _inventory(name, hosts, number)
        packed = gzip.compress(json.dumps(to_dict(found)).encode())
        begun = await site.deployment.api.send("POST", "maas-imports/", body=Body(files={"inventory": packed}))
        import_id = begun.json()["id"]
        plan = await site.deployment.get(f"maas-imports/{import_id}/", op="plan")
        return ReadMaas(
            name=name, hosts=hosts, import_id=import_id, plan=json.dumps(plan).encode(),
            address=found.machines[0].nics[0].links[0].ip, before=await asyncio.to_thread(_guests, hosts),
        )  # fmt: skip

    async def submit(self, site: Site, state: ReadMaas, key: str) -> Response:
        return await _applied(site, state, {"Idempotency-Key": key, "Prefer": "respond-async"})

    async def check(self, site: Site, state: ReadMaas, outcome: Outcome) -> Iterable[str]:
        if outcome.state == "failed":
            again = await self._again(site, state)
            if again["state"] != "succeeded":
                return [f"the second import ended {again['state']}: {again['error']}"]
        return [
            *await self._objects(site, state),
            *await self._machines(site, state),
            *await asyncio.to_thread(_changes, state),
        ]

    async def _again(self, site: Site, state: ReadMaas) -> Any:
        for host in state.hosts:
            await site.until_ready(host)
        response = await _applied(site, state, {"Prefer": "respond-async"})

        async def ended() -> bool:
            return bool((await site.deployment.get(f"operations/{response.operation_id}/"))["state"] in ENDED)

        await eventually(ended)
        return await site.deployment.get(f"operations/{response.operation_id}/")

    async def _objects(self, site: Site, state: ReadMaas) -> list[str]:
        (row,) = await site.fetch(_COUNTS, state.name, [one.name for one in state.hosts])
        wanted = {**dict.fromkeys(dict(row), 1), "hosts": len(state.hosts)}
        return problem(f"there are {dict(row)}, expected: {wanted}", when=dict(row) != wanted)

    async def _machines(self, site: Site, state: ReadMaas) -> list[str]:
        found = sorted(
            (one["system_id"], one["hostname"], one["status_name"], one["owner"], one["pool"]["name"])
            for one in await site.deployment.get("machines/")
        )
        names = [f"vm-{host.name}" for host in state.hosts]
        first, second = state.system_ids
        wanted = [
            (first, names[0], "Deployed", state.name, state.name),
            (second, names[1], "Ready", None, state.name),
        ]
        claims = [(row["system_id"], row["address"]) for row in await site.fetch(_CLAIMS)]
        return [
            *problem(f"the machines are {found}, expected: {wanted}", when=found != wanted),
            *problem(f"the claims are {claims}", when=claims != [(first, state.address)]),
        ]

    async def clear(self, site: Site, state: ReadMaas) -> None:
        for host in state.hosts:
            await site.remove(host)
        await site.deployment.delete(f"maas-imports/{state.import_id}/")


def _guests(hosts: Iterable[SimulatedCellHost]) -> Mapping[tuple[str, str], Any]:
    return {(one.name, guest): one.all_but_marker(guest) for one in hosts for guest in one.file.guest_names()}


def _changes(state: ReadMaas) -> list[str]:
    """Guests that differ from before by more than our marker, and markers that are not where a machine is."""
    now = _guests(state.hosts)
    marked = {host.name: host.marked() for host in state.hosts}
    wanted = {host.name: [f"vm-{host.name}"] for host in state.hosts}
    known = [guest for _, guest in state.before]
    assert FOREIGN in known, known
    return [
        *(f"guest {key} was {state.before.get(key)} and is {now.get(key)}"
          for key in sorted({*now, *state.before}) if now.get(key) != state.before.get(key)),
        *problem(f"the guests with our marker are {marked}", when=marked != wanted),
    ]  # fmt: skip
