"""The region is killed while a compose is rescheduled: one machine, on the second host, and no claim on the first."""

from __future__ import annotations

from functools import partial

from common.addresses.simulated import SimulatedAddress
from tests.deployment.deployment import Deployment
from tests.deployment.held_refreshes import hold_refreshes
from tests.deployment.runner import REGION
from tests.support.waiting import eventually

WAITING_FOR_A_LOCK = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
LOCK_NEXT = "select 1 from server where id = (select server_id from vm_host where name = 'next') for update"


async def test_a_compose_survives_the_kill_of_the_region_between_two_hosts(deployment: Deployment) -> None:
    await deployment.start()
    for name, cores in (("first", 16), ("next", 8)):
        address = f"simulated:{name}?cores={cores}&memory_mib=16384"
        await deployment.add_host(type="simulated", power_address=address, name=name)
    first = next(one["id"] for one in await deployment.get("vm-hosts/") if one["name"] == "first")
    refresh = partial(deployment.post, f"vm-hosts/{first}/", op="refresh")
    await hold_refreshes(deployment.fetch, [first], refresh)  # one would find the change before the compose does
    async with deployment.connection() as db:
        changed = SimulatedAddress.parse("simulated:first?cores=16&memory_mib=16384&pools=other:100").normalised
        await db.execute("update vm_host set address = $1 where name = 'first'", changed)
        async with db.transaction():  # a claim on the next host waits
            await db.execute(LOCK_NEXT)
            operation_id = await deployment.begin("machines/", op="allocate")

            async def between() -> bool:
                found = await deployment.get(f"operations/{operation_id}/")
                return bool(found["step"] == "release_claims" and await db.fetchval(WAITING_FOR_A_LOCK))

            await eventually(between)
            deployment.kill(REGION)
        await deployment.restart(REGION)
        assert await deployment.ended(operation_id) == "succeeded"
    (machine,) = await deployment.get("machines/")
    assert (machine["pod"]["name"], machine["status_name"], machine["owner"]) == ("next", "Allocated", "admin")
    assert (deployment.simulated_guests("first"), deployment.simulated_guests("next")) == ([], [machine["hostname"]])
    used = {host["name"]: host["used"]["cores"] for host in await deployment.get("vm-hosts/")}
    assert used == {"first": 0, "next": 1}
    assert await deployment.ledger_problems() == []
