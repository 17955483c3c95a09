"""Every RPC command that takes a machine, whoever's it is, with five accounts: as the page of roles says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from common.errors import InnkeeperError, NotAllowed, NotFound
from innkeeper.rpc import PowerAction, Region, connect
from regiond.clients.rpc import PERMISSIONS
from regiond.machines.core.ownership_rules import is_free, may_act, may_allocate
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, Permission
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_roles import client_folder
from tests.integration.machines.test_ownership_matrix import CASES, becomes, begun, callers, facts
from tests.integration.support.two_pools import NATIVE, USERNAMES, Role, TwoPools, two_pools

Call = Callable[[Region, str], Awaitable[Any]]
CALLS: Mapping[str, Call] = {
    "client.power": lambda region, vm: region.power(vm, PowerAction.ON),
    "client.accept_off": lambda region, vm: region.accept_off(vm),
    "client.resize": lambda region, vm: region.resize(vm, cores=2),
    "client.add_disk": lambda region, vm: region.add_disk(vm, size_gb=1),
    "client.grow_disk": lambda region, vm: region.grow_disk(vm, "sda", size_gb=100),
    "client.remove_disk": lambda region, vm: region.remove_disk(vm, "sda", keep=False),
    "client.add_interface": lambda region, vm: region.add_interface(vm),
    "client.change_interface": lambda region, vm: region.change_interface(vm, "eth0", mac_address="52:54:00:00:00:20"),
    "client.remove_interface": lambda region, vm: region.remove_interface(vm, "eth0"),
    "client.set_boot": lambda region, vm: region.set_boot(vm, ["disk"]),
    "client.clone": lambda region, vm: region.clone(vm),
    "client.deploy": lambda region, vm: region.deploy(vm),
    "client.rebuild": lambda region, vm: region.rebuild(vm),
    "client.export": lambda region, vm: region.export(vm),
    "client.release": lambda region, vm: region.release(vm),
    "client.delete": lambda region, vm: region.delete(vm),
}


def is_permitted(command: str, caller: Caller, machine: MachineView) -> bool:
    allocates = PERMISSIONS[command] is Permission.OPERATOR and may_allocate(caller, machine)
    nothing_to_do = command == "client.release" and is_free(machine) and caller.may_operate(machine.pool.id)
    return may_act(caller, machine) or (allocates and command != "client.release") or nothing_to_do


async def answer_to(call: Call, region: Region, system_id: str) -> type[InnkeeperError] | None:
    """The error that the call ends with; None if it was begun."""
    try:
        await call(region, system_id)
    except InnkeeperError as error:
        return type(error)
    return None


async def refused(pools: TwoPools, role: Role, whose: str) -> None:
    """Asserts that the account gets nothing of what the table does not permit it, in every state."""
    innkeeper, system_id = pools.innkeeper, pools.contents[NATIVE].system_id
    caller, problems = (await callers(innkeeper))[role], []
    folder = await client_folder(pools, role, USERNAMES[role])
    async with connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=folder) as region:
        for state in MachineState:
            machine = await becomes(innkeeper, system_id, whose, state)
            before = await facts(innkeeper, system_id)
            is_seen = caller.may_view(machine.pool.id) or machine.belongs_to(caller)
            assert (system_id in {one.system_id for one in await region.machines()}) is is_seen
            for command, call in CALLS.items():
                if not is_permitted(command, caller, machine):
                    answer = await answer_to(call, region, system_id)
                    if answer is not (NotAllowed if is_seen else NotFound):
                        problems.append((command, state, answer))
            assert await facts(innkeeper, system_id) == before
    assert problems == []
    assert await begun(innkeeper, system_id) == 0


def test_the_calls_are_all_that_take_a_machine() -> None:
    others = {"client.compose", "client.list_hosts", "client.list_machines", "client.operation", "client.wait"}
    assert {*CALLS, *others, "client.download", "client.events", "client.adopt", "client.abandon"} == set(PERMISSIONS)


@pytest.mark.parametrize(("whose", "role"), [(whose, role) for whose, role in CASES if role is not Role.ADMIN])
async def test_rpc_clients_change_what_the_table_permits(innkeeper: Deployment, whose: str, role: Role) -> None:
    await refused(await two_pools(innkeeper), role, whose)


async def test_the_same_calls_are_taken_from_the_owner(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    system_id = pools.contents[NATIVE].system_id
    folder = await client_folder(pools, Role.OPERATOR, "olga")
    async with connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=folder) as region:
        for command, call in CALLS.items():
            await becomes(innkeeper, system_id, "stock made by olga", MachineState.READY)
            assert await answer_to(call, region, system_id) not in {NotAllowed, NotFound}, command
    assert await begun(innkeeper, system_id) > 0
