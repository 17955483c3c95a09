"""./dev run keeps the machines that it finds on its host as they are, and composes one only where there is none."""

from __future__ import annotations

import pytest

from development import first_vm
from development.first_vm import FirstVm
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import rows


async def start(region: Deployment) -> FirstVm:
    """What a start of ./dev run does on the host `local`, once it is added."""
    (host,) = await region.get("vm-hosts/")
    address = (await region.get(f"vm-hosts/{host['id']}/", op="parameters"))["power_address"]
    return await first_vm.ensure(region.api, address, print)


async def test_the_first_start_composes_a_vm_and_starts_it(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    vm = await start(innkeeper)
    assert vm.machine is not None
    assert (vm.composed, vm.problem, vm.machine["power_state"]) == (True, None, "on")
    assert vm.guest_name == vm.machine["hostname"]


@pytest.mark.slow
async def test_a_vm_that_a_person_powered_off_stays_off(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    first = await start(innkeeper)
    assert first.machine is not None
    await innkeeper.post(f"machines/{first.machine['system_id']}/", op="power_off", stop_mode="hard")
    again = await start(innkeeper)
    assert again.machine is not None
    assert (again.machine["system_id"], again.machine["power_state"]) == (first.machine["system_id"], "off")
    assert (again.composed, again.problem) == (False, None)


async def test_a_vm_that_was_undefined_is_found_as_missing(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    first = await start(innkeeper)
    assert first.machine is not None
    rows(innkeeper, "delete from guest")
    again = await start(innkeeper)
    assert again.machine is not None
    assert again.machine["system_id"] == first.machine["system_id"]
    assert first_vm.is_missing(again.machine)
    assert (again.guest_name, again.problem) == (None, None)


async def test_a_vm_that_exists_is_shown_before_a_missing_one(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await start(innkeeper)
    rows(innkeeper, "delete from guest")
    other = await innkeeper.compose(host["id"], hostname="other")
    vm = await start(innkeeper)
    assert vm.machine is not None
    assert (vm.machine["system_id"], vm.guest_name) == (other["system_id"], "other")
