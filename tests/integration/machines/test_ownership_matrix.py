"""Every state of a machine, whoever's it is, with five accounts, over every endpoint: as the page of roles says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.accounts.grants import with_grants
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.resources.registry import SERVED
from regiond.machines.core.ownership_rules import is_free, may_act, may_allocate
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, Permission
from tests.deployment.deployment import Deployment
from tests.integration.support.object_paths import path_to
from tests.integration.support.two_pools import NATIVE, USERNAMES, Role, TwoPools, two_pools

# Owner, maker, and whether it is as it was composed as stock.
WHOSE: Mapping[str, tuple[str | None, str | None, bool]] = {
    "stock made by olga": (None, "olga", True),
    "in use, made by olga": (None, "olga", False),
    "in use, adopted": (None, None, False),
    "olga's": ("olga", "admin", False),
}
# To an operator of another pool: who sees it, and does not act on it.
HANDED_OVER: Mapping[str, tuple[str | None, str | None, bool]] = {
    "emil's": ("emil", "admin", False),
    "in use, made by emil": (None, "emil", False),
}
_SET = """
    update machine set state = $2, is_stock = $5, owner_id = (select id from account where username = $3),
                       composed_by_id = (select id from account where username = $4)
     where system_id = $1
"""
_FACTS = (
    "select state, owner_id, composed_by_id, is_stock, locked, power_state, hostname from machine where system_id = $1"
)
_CHANGES = "select count(*) from operation where system_id = $1 and kind <> 'compose'"


async def becomes(innkeeper: Deployment, system_id: str, whose: str, state: MachineState) -> MachineView:
    """Puts the machine into the state, as one of WHOSE or HANDED_OVER, and returns it."""
    owner, made_by, is_stock = {**WHOSE, **HANDED_OVER}[whose]
    await innkeeper.fetch(_SET, system_id, state.value, owner, made_by, is_stock)
    machines = innkeeper.region.components.services.machines
    (machine,) = await machines.list(MachineFilter(system_ids=(system_id,)))
    return machine


async def facts(innkeeper: Deployment, system_id: str) -> Sequence[Sequence[Any]]:
    """What a change of the machine changes; not what begins one, see `begun`."""
    return [tuple(row) for row in await innkeeper.fetch(_FACTS, system_id)]


async def begun(innkeeper: Deployment, system_id: str) -> int:
    """The number of operations on the machine since it was composed."""
    ((number,),) = await innkeeper.fetch(_CHANGES, system_id)
    return int(number)


def machine_calls() -> list[tuple[Resource, Endpoint]]:
    """The endpoints of one machine, its disks and NICs."""
    of_machine = [one for one in SERVED if one.path.startswith(("machines/{system_id}", "nodes/{system_id}"))]
    return [(resource, endpoint) for resource in of_machine for endpoint in resource.endpoints]


async def callers(innkeeper: Deployment) -> dict[Role, Caller]:
    accounts = innkeeper.region.components.services.accounts
    async with innkeeper.region.components.database.connection() as db:
        return {role: await with_grants(db, await accounts.user(name)) for role, name in USERNAMES.items()}


def refusals(endpoint: Endpoint, caller: Caller, machine: MachineView) -> set[int]:
    """The statuses with which the call is refused; empty if it is permitted."""
    if not (caller.may_view(machine.pool.id) or machine.belongs_to(caller)):
        return {403} if endpoint.permission is Permission.ADMIN else {404}
    match endpoint.permission:
        case Permission.ADMIN:
            return set() if caller.is_admin else {403}
        case Permission.OWNER:
            return set() if may_act(caller, machine) else {403}
        case Permission.OPERATOR if endpoint.op == "deploy":
            return set() if may_act(caller, machine) or may_allocate(caller, machine) else {403}
        case Permission.OPERATOR if endpoint.op == "release":
            free = is_free(machine) and caller.may_operate(machine.pool.id)  # nothing is changed
            return set() if may_act(caller, machine) or free else {403}
        case Permission.OPERATOR:
            raise AssertionError(f"{endpoint.name}: say here what an operator may do with a machine of somebody else")
        case _:
            return set()


async def problems_of(pools: TwoPools, role: Role, caller: Caller, machine: MachineView) -> list[str]:
    found = []
    contents = pools.contents[NATIVE]
    for resource, endpoint in machine_calls():
        expected = refusals(endpoint, caller, machine)
        reply = await pools.send(role, resource, endpoint, path_to(resource, contents), harmless=not expected)
        refused = reply.status in {401, 403, 404}
        if refused != bool(expected) or (expected and reply.status not in expected):
            found.append(
                f"{resource.handler}.{endpoint.name} as {role}, {machine.state}: {reply.status}, not {expected}"
            )
    return found


# A user without any role is refused before the machine is read: `test_role_matrix.py`.
ROLES = [role for role in USERNAMES if role is not Role.NOBODY]
CASES: list[tuple[str, Role]] = [
    *((whose, role) for whose in WHOSE for role in ROLES),
    *((one, Role.ELSEWHERE) for one in HANDED_OVER),
]


@pytest.mark.parametrize(("whose", "role"), CASES)
async def test_each_account_may_do_what_the_table_says(innkeeper: Deployment, whose: str, role: Role) -> None:
    pools = await two_pools(innkeeper)
    system_id = pools.contents[NATIVE].system_id
    caller = (await callers(innkeeper))[role]
    problems = list[str]()
    for state in MachineState:
        machine = await becomes(innkeeper, system_id, whose, state)
        before = await facts(innkeeper, system_id)
        problems += await problems_of(pools, role, caller, machine)
        assert await facts(innkeeper, system_id) == before
    assert problems == []
    assert await begun(innkeeper, system_id) == 0


@pytest.mark.parametrize("whose", WHOSE)
async def test_only_what_the_table_says_is_allocated(innkeeper: Deployment, whose: str) -> None:
    pools = await two_pools(innkeeper)
    system_id = pools.contents[NATIVE].system_id
    for state in MachineState:
        for role, caller in (await callers(innkeeper)).items():
            machine = await becomes(innkeeper, system_id, whose, state)
            answer = await allocated(pools.as_role(role), system_id)
            assert (answer == caller.username) is may_allocate(caller, machine), (role, state, answer)


async def allocated(deployment: Deployment, system_id: str) -> str | None:
    """The owner after an attempt to allocate the machine; None if it was refused."""
    try:
        return str((await deployment.post("machines/", op="allocate", system_id=system_id))["owner"])
    except InnkeeperError:
        return None
