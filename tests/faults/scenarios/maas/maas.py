"""A machine is registered in a MAAS, and that ends: there is one record or none, however often a process is killed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from attrs import frozen

from common.words.operation_kinds import OperationKind
from tests.faults.scenarios.machines import HostMachine, composed
from tests.faults.scenarios.scenario import Outcome, Request, RequestScenario, problem
from tests.faults.scenarios.site import Site
from tests.maas_api.bridge_server import KEY, RecordedMaas, serving

_REGISTRATIONS = "select count(*) from maas_registration where system_id = $1"


@frozen(kw_only=True)
class WithMaas:
    """A machine, or its name before it is composed, and a MAAS of this cell."""

    machine: HostMachine
    maas: RecordedMaas
    server: str
    running: ExitStack


async def with_maas(site: Site, machine: HostMachine) -> WithMaas:
    running = ExitStack()
    maas = running.enter_context(serving(RecordedMaas(starts_machines=False)))
    server = site.new_name("maas")
    await site.deployment.post("maas-servers/", name=server, url=maas.url, key=KEY)
    return WithMaas(machine=machine, maas=maas, server=server, running=running)


async def registered(site: Site, state: WithMaas) -> None:
    await site.deployment.post(state.machine.path, op="register_in_maas", server=state.server, commission="false")


async def problems_of(site: Site, state: WithMaas, system_id: str) -> list[str]:
    """The machine is registered, once, and both sides know it by the same id."""
    found = await site.deployment.get(f"machines/{system_id}/")
    ids = list(state.maas.machines.all)
    return [
        *problem(f"{state.maas.machines.created} records were made", when=state.maas.machines.created != 1),
        *problem(f"the records are {ids}, ours {found['maas_system_id']}", when=ids != [found["maas_system_id"]]),
        *problem(f"it is registered in {found['maas_server']}", when=found["maas_server"] != state.server),
        *problem(f"it boots from {found['boot_order']}", when=found["boot_order"] != ["network", "disk"]),
    ]


class _InMaas(RequestScenario):
    async def prepare(self, site: Site) -> WithMaas:
        machine = await composed(site)
        await site.deployment.post(machine.path, op="set_boot", order="disk")
        return await with_maas(site, machine)

    async def clear(self, site: Site, state: WithMaas) -> None:
        """The MAAS ends with the cell; its row stays."""
        for machine in await site.deployment.get("machines/"):
            if machine["maas_server"] == state.server:
                await site.deployment.post(f"machines/{machine['system_id']}/", op="unregister_from_maas")
        state.running.close()


class RegisterInMaas(_InMaas):
    name = "register_in_maas"
    kinds = (OperationKind.REGISTER,)

    async def request(self, site: Site, state: WithMaas) -> Request:
        fields = {"server": state.server, "commission": "false"}
        return Request(path=state.machine.path, op="register_in_maas", fields=fields)

    async def check(self, site: Site, state: WithMaas, outcome: Outcome) -> Iterable[str]:
        return await problems_of(site, state, state.machine.system_id)


class UnregisterFromMaas(_InMaas):
    name = "unregister_from_maas"
    kinds: tuple[OperationKind, ...] = (OperationKind.UNREGISTER,)

    async def prepare(self, site: Site) -> WithMaas:
        state = await super().prepare(site)
        await registered(site, state)
        return state

    async def request(self, site: Site, state: WithMaas) -> Request:
        return Request(path=state.machine.path, op="unregister_from_maas")

    async def check(self, site: Site, state: WithMaas, outcome: Outcome) -> Iterable[str]:
        found = await site.deployment.get(state.machine.path)
        return [
            *problem(f"the records are {list(state.maas.machines.all)}", when=bool(state.maas.machines.all)),
            *problem(f"it is registered in {found['maas_server']}", when=found["maas_server"] is not None),
            *problem(f"it boots from {found['boot_order']}", when=found["boot_order"] != ["disk", "network"]),
        ]


class ComposeInMaas(_InMaas):
    name = "compose_in_maas"
    kinds = (OperationKind.COMPOSE, OperationKind.REGISTER)
    follows = OperationKind.REGISTER

    async def prepare(self, site: Site) -> WithMaas:
        host = await site.host()
        return await with_maas(site, HostMachine(host=host, hostname=host.hostname(site.new_name("m"))))

    async def request(self, site: Site, state: WithMaas) -> Request:
        machine = state.machine
        fields = {**machine.host.shape, "hostname": machine.hostname, "register_in_maas": state.server}
        return Request(path=machine.host.path, op="compose", fields=fields)

    async def check(self, site: Site, state: WithMaas, outcome: Outcome) -> Iterable[str]:
        (machine,) = [
            one for one in await site.deployment.get("machines/") if one["hostname"] == state.machine.hostname
        ]
        return await problems_of(site, state, machine["system_id"])


class DeleteInMaas(UnregisterFromMaas):
    """The record is deleted with the machine."""

    name = "delete_in_maas"
    kinds = (OperationKind.DELETE, OperationKind.UNREGISTER)
    follows = OperationKind.UNREGISTER

    async def request(self, site: Site, state: WithMaas) -> Request:
        return Request(method="DELETE", path=state.machine.path)

    async def check(self, site: Site, state: WithMaas, outcome: Outcome) -> Iterable[str]:
        left = await site.fetchval(_REGISTRATIONS, state.machine.system_id)
        return [
            *problem(f"the records are {list(state.maas.machines.all)}", when=bool(state.maas.machines.all)),
            *problem(f"{left} registrations are left", when=bool(left)),
        ]
