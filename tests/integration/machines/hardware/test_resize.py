"""Resizes of machines: at once while they are off, pending while they run, and claimed from the beginning."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from common.errors import WrongState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core.operation_intents import open_operation
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import claims, guests, refresh, rows
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.support.rejections import outcomes, rejection
from tests.support.waiting import eventually


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    return await innkeeper.compose(host["id"], hostname="web", cores=2, memory=2048, **fields)


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def resize(innkeeper: Deployment, machine: Any, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="resize", **fields)


async def shown(innkeeper: Deployment, machine: Any) -> tuple[int, int, Any]:
    """Cores, memory and what is pending."""
    found = await innkeeper.get(path(machine))
    pending = found["pending"]
    return found["cpu_count"], found["memory"], pending and (pending["cores"], pending["memory"])


def refuse(*_: object, **__: object) -> None:
    raise WrongState("not this size")


def refuse_otherwise(*_: object, **__: object) -> None:
    raise WrongState("not now either")


def on_host(innkeeper: Deployment) -> tuple[int, int]:
    ((_, _, _, cores, memory_mib),) = guests(innkeeper)
    return cores, memory_mib


async def claimed(innkeeper: Deployment) -> tuple[int, int]:
    amounts = {resource: amount for _, resource, amount in await claims(innkeeper)}
    return amounts["cores"], amounts["memory_mib"]


async def messages(innkeeper: Deployment, kind: str) -> list[str]:
    return [event.message for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


@pytest.mark.slow
async def test_a_machine_that_is_off_gets_its_size_at_once(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    grown = await resize(innkeeper, machine, cores=4, memory=4096)
    assert (grown["cpu_count"], grown["memory"], grown["pending"]) == (4, 4096, None)
    assert on_host(innkeeper) == await claimed(innkeeper) == (4, 4096)
    await resize(innkeeper, machine, cores=1)
    assert on_host(innkeeper) == await claimed(innkeeper) == (1, 4096)
    assert await messages(innkeeper, "machine_resized") == [
        "web on sim has 1 core and 4096 MiB of memory", "web on sim has 4 cores and 4096 MiB of memory",
    ]  # fmt: skip
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
async def test_what_a_running_machine_cannot_get_now_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, cores=4, memory=4096)
    assert await shown(innkeeper, machine) == (4, 2048, (4, 4096))
    assert on_host(innkeeper) == (4, 2048)
    assert await claimed(innkeeper) == (4, 4096)
    assert await messages(innkeeper, "machine_resized") == [
        "web on sim has 4 cores and 2048 MiB of memory, and gets 4 cores and 4096 MiB of memory when Innkeeper next "
        "starts it"
    ]
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await claimed(innkeeper) == (4, 4096)
    assert await innkeeper.discrepancies() == []
    await innkeeper.post(path(machine), op="power_cycle")
    assert await shown(innkeeper, machine) == (4, 4096, None)
    assert on_host(innkeeper) == await claimed(innkeeper) == (4, 4096)


async def test_a_change_on_the_host_leaves_what_is_pending_claimed(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=4096)
    rows(innkeeper, "update guest set cores = 3")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await shown(innkeeper, machine) == (3, 2048, (3, 4096))
    assert await claimed(innkeeper) == (3, 4096)
    assert await innkeeper.discrepancies() == []
    rows(innkeeper, "update guest set memory_mib = 4096")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert await shown(innkeeper, machine) == (3, 4096, None)


async def test_allocation_counts_with_the_size_of_the_next_start(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=1024)
    error = await rejection(innkeeper.post("machines/", op="allocate", name="web", mem="2048"))
    assert error.details["status"] == 409
    assert (await innkeeper.post("machines/", op="allocate", name="web", mem="1024"))["hostname"] == "web"


async def test_memory_that_shrinks_is_free_after_the_next_start(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=1024)
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 2048, (2, 1024)), (2, 2048))
    await innkeeper.post(path(machine), op="power_off")
    assert await claimed(innkeeper) == (2, 2048)
    await innkeeper.post(path(machine), op="power_on")
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 1024, None), (2, 1024))


async def test_the_present_size_cancels_what_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=4096)
    await resize(innkeeper, machine, memory=2048)
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 2048, None), (2, 2048))
    await innkeeper.post(path(machine), op="power_cycle")
    assert on_host(innkeeper) == (2, 2048)


@pytest.mark.slow
async def test_a_size_that_the_host_refuses_at_the_start_stays_pending(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=4096)
    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.resizing.check_resizable", refuse)
        await innkeeper.post(path(machine), op="power_cycle")
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 2048, (2, 4096)), (2, 4096))
    (message,) = await messages(innkeeper, "machine_size_pending")
    assert message == (
        "web is on with 2 cores and 2048 MiB of memory, and 2 cores and 4096 MiB of memory is still pending. sim "
        "refused that size at this start: not this size"
    )
    first = (await innkeeper.get(path(machine)))["pending_refused"]
    assert first["reason"] == "not this size"
    (operation, *_) = await innkeeper.get("operations/?kind=power")
    assert operation["result"]["size_refused"] == "not this size"
    log = (await innkeeper.get(f"operations/{operation['id']}/"))["log"]
    assert [one["details"]["reason"] for one in log if "still pending" in one["message"]] == ["not this size"]
    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.resizing.check_resizable", refuse_otherwise)
        await innkeeper.post(path(machine), op="power_cycle")
    again = (await innkeeper.get(path(machine)))["pending_refused"]
    assert (again["reason"], again["since"]) == ("not now either", first["since"])
    await innkeeper.post(path(machine), op="power_on")  # it runs: nothing is tried
    assert (await innkeeper.get(path(machine)))["pending_refused"] == again
    await resize(innkeeper, machine, memory=3072)
    assert (await innkeeper.get(path(machine)))["pending_refused"] is None  # no start has tried that one
    await innkeeper.post(path(machine), op="power_cycle")
    assert await shown(innkeeper, machine) == (2, 3072, None)


async def test_a_rack_that_tells_no_reason_is_named_as_the_place_of_it(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an earlier release."""
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=4096)
    with monkeypatch.context() as refusing:
        refusing.setattr("rackd.drivers.simulated.resizing.check_resizable", refuse)
        refusing.setattr("rackd.drivers.resizing.refused", lambda *_: None)
        await innkeeper.post(path(machine), op="power_cycle")
    (message,) = await messages(innkeeper, "machine_size_pending")
    assert message.endswith("sim refused that size: the rack's log has the reason (size_not_changed)")
    found = await innkeeper.get(path(machine))
    assert (found["pending"]["memory"], found["pending_refused"]) == (4096, None)


async def test_more_than_the_host_has_left_is_refused_in_numbers(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    error = await rejection(resize(innkeeper, machine, cores=9, memory=20480))
    assert error.details["status"] == 503
    assert error.message == (
        "sim has too little left for web: cores: 7 more asked, 6 of 8 claimable left; memory: 18432 MiB more asked, "
        "14336 of 16384 claimable left."
    )
    assert on_host(innkeeper) == await claimed(innkeeper) == (2, 2048)
    assert "resize" not in [one["kind"] for one in await innkeeper.get("operations/")]


async def test_a_size_that_another_request_has_just_changed_is_not_undone(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await composed(innkeeper)

    async def after_another(db: Db, kind: OperationKind, *args: Any, **more: Any) -> int:
        async with innkeeper.connection() as other:
            await other.execute("update machine set cores = 4")
        return await open_operation(db, kind, *args, **more)

    with monkeypatch.context() as racing:
        racing.setattr("regiond.machines.hardware.change.open_operation", after_another)
        error = await rejection(resize(innkeeper, machine, memory=4096))
    assert error.message == "The size of web has just changed. Try again."
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert on_host(innkeeper) == await claimed(innkeeper) == (2, 2048)


async def test_two_resizes_at_once_never_exceed_the_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    machines = [await innkeeper.compose(host["id"], hostname=name, cores=2, memory=1024) for name in ("one", "two")]
    outcomes = await asyncio.gather(
        *(resize(innkeeper, machine, cores=6) for machine in machines), return_exceptions=True
    )
    assert sorted(isinstance(one, Exception) for one in outcomes) == [False, True]
    assert sum(cores for _, _, _, cores, _ in guests(innkeeper)) == 8
    assert await innkeeper.discrepancies() == []


async def test_a_dry_run_tells_what_changes_now_and_what_later(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    plan = await resize(innkeeper, machine, cores=4, memory=1024, dry_run="true")
    assert plan == {
        "name": "web",
        "cores": {"now": 2, "wanted": 4, "takes_effect": "now_if_possible"},
        "memory": {"now": 2048, "wanted": 1024, "takes_effect": "next_start"},
        "effects": [
            "web gets 4 cores instead of 2, now if its hypervisor can change a running VM, else when Innkeeper next "
            "starts it.",
            "web gets 1024 MiB of memory instead of 2048, when Innkeeper next starts it.",
            "It claims 2 cores more of sim at once.",
        ],
        "bound": {"pinned_cores": [], "huge_pages": []},
        "bound_then": {"pinned_cores": [], "huge_pages": []},
    }
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 2048, None), (2, 2048))
    error = await rejection(resize(innkeeper, machine, cores=64, dry_run="true"))
    assert "cores: 62 more asked, 6 of 8 claimable left" in error.message


async def test_a_host_that_refuses_leaves_everything_as_before(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "delete from guest")
    error = await rejection(resize(innkeeper, machine, cores=4))
    assert error.details["status"] == 404
    assert (await shown(innkeeper, machine), await claimed(innkeeper)) == ((2, 2048, None), (2, 2048))


async def test_a_cancelled_resize_restores_the_size_of_before(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    with innkeeper.held("resize guest"):
        operation = await innkeeper.begin(path(machine), op="resize", cores="4")
        await eventually(innkeeper.simulated().is_holding)
        assert await claimed(innkeeper) == (4, 2048)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert on_host(innkeeper) == await claimed(innkeeper) == (2, 2048)
    assert await shown(innkeeper, machine) == (2, 2048, None)


async def test_a_quota_counts_what_is_pending(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post("quotas/", user="admin", cores=8, memory=4096)
    await resize(innkeeper, machine, memory=4096)
    error = await rejection(resize(innkeeper, machine, memory=5120))
    assert "memory" in error.message
    (quota,) = await innkeeper.get("quotas/")
    assert quota["memory_used"] == 4096
    await innkeeper.post(path(machine), op="power_off", stop_mode="hard")
    await innkeeper.fetch("update machine set is_stock = true")  # as after a release that emptied it
    ann = await as_user(innkeeper, "ann")
    await innkeeper.post("quotas/", user="ann", memory=3072)
    error = await rejection(ann.post("machines/", op="allocate", name="web"))
    assert "3072 MiB of memory, 0 MiB used, 4096 MiB asked" in error.message


@pytest.mark.slow
async def test_a_deployment_starts_with_what_is_pending(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    machine = await composed(innkeeper, power_on="true")
    await resize(innkeeper, machine, memory=4096)
    await innkeeper.post("machines/", op="allocate", name="web")
    assert await innkeeper.ended(await innkeeper.begin(path(machine), op="deploy")) == "succeeded"
    assert await shown(innkeeper, machine) == (2, 4096, None)
    assert on_host(innkeeper) == await claimed(innkeeper) == (2, 4096)


async def test_only_who_may_use_a_machine_resizes_it(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    assert (await rejection(resize(ben, machine, cores=3))).details["status"] == 403  # he may only allocate it
    await ann.post("machines/", op="allocate", name="web")
    assert (await rejection(resize(ben, machine, cores=4))).details["status"] == 403
    await resize(ann, machine, cores=4)
    async with innkeeper.connection() as db:
        await db.execute("update machine set locked = true")
    assert "is locked" in (await rejection(resize(ann, machine, cores=2))).message
    assert on_host(innkeeper) == (4, 2048)


async def test_a_machine_that_its_host_does_not_list_keeps_its_size(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "delete from guest")
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    error = await rejection(resize(innkeeper, machine, cores=4))
    assert error.message == "sim does not list the VM of web. Refresh the host: innkeeper vm-host refresh sim"


async def test_without_a_size_the_request_is_rejected_by_field(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    error = await rejection(resize(innkeeper, machine))
    assert error.details["status"] == 400
    assert "Name the cores, the memory or both." in str(error.details)


@pytest.mark.slow
async def test_a_machine_prepared_for_more_gets_it_while_it_runs(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, max_cores=4, max_memory=6144, power_on="true")
    found = await innkeeper.get(path(machine))
    assert (found["max_cores"], found["max_memory"]) == (4, 6144)
    assert await claimed(innkeeper) == (2, 2048)
    await resize(innkeeper, machine, cores=4, memory=4096)
    assert await shown(innkeeper, machine) == (4, 4096, None)
    assert (await claimed(innkeeper), on_host(innkeeper)) == ((4, 4096), (4, 4096))
    await resize(innkeeper, machine, memory=8192)
    assert await shown(innkeeper, machine) == (4, 4096, (4, 8192))


async def test_a_maximum_that_no_machine_can_have_is_refused_by_field(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)

    def compose(**fields: Any) -> Any:
        return innkeeper.compose(host["id"], **{"cores": 2, "memory": 2048, **fields})

    found = await outcomes([
        compose(max_cores=1),
        compose(max_memory=2047),
        compose(max_memory=2049),
        compose(pin_cores=2, max_cores=4),
        compose(hugepages_backed="true", max_memory=4096),
    ])  # fmt: skip
    assert [text.partition(": ")[2].partition(": ")[0] for text in found] == [
        "max_cores", "max_memory", "max_memory", "max_cores", "max_memory",
    ]  # fmt: skip
