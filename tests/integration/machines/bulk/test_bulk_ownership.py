"""Actions on many machines, some of them somebody else's: refused, with what is one's own unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.machines.core.ownership_rules import may_release
from regiond.machines.values.bulk import BulkAction
from regiond.machines.values.states import MachineState
from tests.deployment.deployment import Deployment
from tests.integration.machines.test_ownership_matrix import CASES, WHOSE, becomes, begun, callers, facts
from tests.integration.support.images import add_image
from tests.integration.support.two_pools import NATIVE, Role, TwoPools, two_pools
from tests.integration.support.users import own
from tests.support.rejections import rejection

_BOTH: tuple[dict[str, Any], ...] = ({}, {"dry_run": "true"})
ACTIONS: dict[BulkAction, dict[str, Any]] = {
    **{one: {} for one in BulkAction if one is not BulkAction.CLONE},
    BulkAction.RESIZE: {"cores": 2},
    BulkAction.ADD_DISK: {"size": 1},
    BulkAction.GROW_DISK: {"disk": "sda", "size": 100},
    BulkAction.MOVE_DISK: {"disk": "sda", "pool": "default"},
    BulkAction.REMOVE_DISK: {"disk": "sda"},
    BulkAction.SET_BOOT: {"order": "disk"},
    BulkAction.ADD_INTERFACE: {"interfaces": "eth1:name=lxdbr0"},
    BulkAction.CHANGE_INTERFACE: {"interface": "eth0", "interfaces": "eth0:name=lxdbr0"},
    BulkAction.REMOVE_INTERFACE: {"interface": "eth0"},
}
STRANGERS = [(whose, role) for whose, role in CASES if role not in {Role.ADMIN, Role.OPERATOR}]


async def own_machine(pools: TwoPools, role: Role, username: str) -> str:
    """One that the account may act on; a viewer has none."""
    pool = pools.contents[NATIVE if role is Role.COLLEAGUE else "foreign"]
    composed = await pools.innkeeper.compose(pool.host_id, cores=1, memory=1024)
    await own(pools.innkeeper, composed["system_id"], username)
    return str(composed["system_id"])


@pytest.mark.parametrize(("whose", "role"), STRANGERS)
async def test_bulk_actions_change_nothing_of_somebody_else(innkeeper: Deployment, whose: str, role: Role) -> None:
    pools = await two_pools(innkeeper)
    system_id, caller = pools.contents[NATIVE].system_id, (await callers(innkeeper))[role]
    mine = await own_machine(pools, role, caller.username)
    user = pools.as_role(role)
    for state in (MachineState.READY, MachineState.DEPLOYED):
        machine = await becomes(innkeeper, system_id, whose, state)
        before = await facts(innkeeper, system_id)
        is_seen = caller.may_view(machine.pool.id) or machine.belongs_to(caller)
        for action, fields in ACTIONS.items():
            if action is BulkAction.DEPLOY and caller.may_operate(machine.pool.id):
                continue  # see below
            if action is BulkAction.RELEASE and may_release(caller, machine):
                continue  # it changes nothing
            for dry_run in _BOTH:
                work = user.post(
                    "machines/", op="bulk", action=action.value, machines=[mine, system_id], **fields, **dry_run
                )
                refused = await rejection(work)
                assert refused.details["status"] == (403 if is_seen else 400), (action, state, refused)
        assert await facts(innkeeper, system_id) == before
    assert await begun(innkeeper, system_id) == await begun(innkeeper, mine) == 0


@pytest.mark.parametrize("whose", WHOSE)
async def test_a_bulk_deployment_takes_stock_only(innkeeper: Deployment, whose: str) -> None:
    pools = await two_pools(innkeeper)
    await add_image(innkeeper)
    system_id, otto = pools.contents[NATIVE].system_id, pools.as_role(Role.COLLEAGUE)
    for state in (MachineState.BROKEN, MachineState.ALLOCATED, MachineState.READY):
        await becomes(innkeeper, system_id, whose, state)
        before = await facts(innkeeper, system_id)
        operation = await otto.post(
            "machines/", op="bulk", action="deploy", machines=system_id, distro_series="custom/test"
        )
        await innkeeper.ended(operation["id"])
        is_taken = whose.startswith("stock") and state is MachineState.READY
        assert (await facts(innkeeper, system_id) != before) is is_taken, state
    owner = (await innkeeper.get(f"machines/{system_id}/"))["owner"]
    assert (owner == "otto") is whose.startswith("stock")


@pytest.mark.parametrize(("whose", "role"), STRANGERS)
async def test_a_release_of_many_releases_none(innkeeper: Deployment, whose: str, role: Role) -> None:
    """Of somebody else; one without owner is released already, which every operator of its pool may repeat."""
    pools = await two_pools(innkeeper)
    system_id, caller = pools.contents[NATIVE].system_id, (await callers(innkeeper))[role]
    mine = await own_machine(pools, role, caller.username)
    for state in (MachineState.READY, MachineState.ALLOCATED, MachineState.DEPLOYED):
        machine = await becomes(innkeeper, system_id, whose, state)
        before = await facts(innkeeper, system_id)
        is_free = may_release(caller, machine)
        release: dict[str, Any] = {"op": "release", "machines": [system_id] if is_free else [mine, system_id]}
        if is_free:
            assert await pools.as_role(role).post("machines/", **release) == []
        else:
            refused = await rejection(pools.as_role(role).post("machines/", **release))
            is_seen = caller.may_view(machine.pool.id) or machine.belongs_to(caller)
            assert refused.details["status"] == (403 if is_seen else 400), (state, refused)
        assert await facts(innkeeper, system_id) == before
    assert await begun(innkeeper, system_id) == await begun(innkeeper, mine) == 0
