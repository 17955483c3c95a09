"""The sweep over a whole installation: what is broken on purpose is told once, mended, and gone; all else is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import define, field

from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.reconciler.model import Kind
from regiond.reconciler.service import Reconciler
from tests.installation import Installation, installed
from tests.integration.adopting import ASYNC, adopt, refresh, rows
from tests.waiting import eventually


async def sql(innkeeper: Installation, statement: str, *values: object) -> list[Any]:
    async with innkeeper.region.parts.database.connection() as db:
        return await db.fetch(statement, *values)


async def kinds(innkeeper: Installation, **narrowed: object) -> list[str]:
    query = [(name, str(value)) for name, value in narrowed.items()]
    return sorted(one["kind"] for one in (await innkeeper.api.send("GET", "differences/", query=query)).json())


async def told(innkeeper: Installation) -> list[tuple[str, str]]:
    """Events about differences, the oldest first."""
    events = await innkeeper.region.parts.events.list()
    return [(one.kind, one.details["kind"]) for one in events[::-1] if one.kind.startswith("difference_")]


@define
class Broken:
    """Sees one difference told, the same one again, and gone when it is mended."""

    innkeeper: Installation
    expected: list[tuple[str, str]] = field(factory=list)  # the events of all that

    async def by_sql(self, kind: str, broken: str, mended: str, *values: object) -> Any:
        await sql(self.innkeeper, broken, *values)
        return await self.until(kind, lambda: sql(self.innkeeper, mended, *values))

    async def until(self, kind: str, mend: Callable[[], Awaitable[Any]]) -> Any:
        (found,) = await self.innkeeper.get("differences/")
        assert found["kind"] == kind, found
        (again,) = await self.innkeeper.get("differences/")
        assert (again["id"], again["first_seen_at"]) == (found["id"], found["first_seen_at"])
        await mend()
        assert await self.innkeeper.get("differences/") == []
        self.expected += [("difference_found", kind), ("difference_gone", kind)]
        return found


TOTAL = "update server set cores_claimed = cores_claimed {} 5 where id = (select server_id from vm_host where id = $1)"
STATE = "update machine set state = '{}' where id = $1"
HOST_STATE = "update vm_host set state = '{}' where id = $1"
ADDRESS = "update ip_address set address = '{}' where machine_id = $1"
MOVE_CLAIMS = "update claim set server_id = (select server_id from vm_host where id = $2) where machine_id = $1"


async def test_each_broken_row_is_told_once_and_gone_when_it_is_mended(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
        far = await innkeeper.add_simulated("far")
        made = await innkeeper.compose(host["id"], cores=2, interfaces="eth0:subnet=10.1.0.0/24,ip=10.1.0.9")
        machine = (await sql(innkeeper, "select id from machine where system_id = $1", made["system_id"]))[0]["id"]
        broken = Broken(innkeeper)
        await broken.by_sql("total_differs", TOTAL.format("+"), TOTAL.format("-"), host["id"])
        await broken.by_sql("state_unexplained", STATE.format("deleting"), STATE.format("ready"), machine)
        removing = HOST_STATE.format("removing"), HOST_STATE.format("ready")
        assert (await broken.by_sql("state_unexplained", *removing, far["id"]))["host_name"] == "far"
        outside = ADDRESS.format("10.9.0.9"), ADDRESS.format("10.1.0.9")
        assert "10.1.0.0/24" in (await broken.by_sql("address_outside_subnet", *outside, machine))["expected"]
        assert await told(innkeeper) == broken.expected

        await sql(innkeeper, MOVE_CLAIMS, machine, far["id"])
        assert {*await kinds(innkeeper)} == {"claim_without_owner", "total_differs"}
        assert await kinds(innkeeper, host=far["id"], kind="claim_without_owner") == ["claim_without_owner"]
        assert await kinds(innkeeper, host=host["id"], kind="claim_without_owner") == []
        await sql(innkeeper, MOVE_CLAIMS, machine, host["id"])
        await sql(innkeeper, "update machine set cores = 3 where id = $1", machine)
        assert await kinds(innkeeper) == ["claims_differ", "machine_changed"]
        await refresh(innkeeper, host)
        assert await kinds(innkeeper) == []


async def test_many_regions_that_sweep_at_once_tell_a_difference_once(database: Database) -> None:
    regions = [Reconciler(database, first_after_s=0.0, every_s=0.01, mends=False) for _ in range(3)]
    async with database.connection() as db:
        await db.execute(
            "insert into vm_host (name, driver, address, system_id, state) values ('h', 'virsh', 'a', 's', 'removing')"
        )
    for region in regions:
        region.start()
    found = await asyncio.gather(*(Reconciler(database).check() for _ in range(4)))
    assert [[one.difference.kind for one in each] for each in found] == [[Kind.STATE_UNEXPLAINED]] * 4
    async with database.connection() as db:
        await db.execute("delete from vm_host")

    async def gone() -> bool:
        return len(await Events(database).list()) == 2

    await eventually(gone)
    await asyncio.gather(*(region.stop() for region in regions))
    assert [event.kind for event in await Events(database).list()] == ["difference_gone", "difference_found"]


async def test_rows_that_constraints_forbid_are_told_all_the_same(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(networks="lan:10.1.0.0/24")
        made = await innkeeper.compose(host["id"], interfaces="eth0:subnet=10.1.0.0/24,ip=10.1.0.9")
        machine = (await sql(innkeeper, "select id from machine where system_id = $1", made["system_id"]))[0]["id"]
        await sql(innkeeper, "alter table claim drop constraint claim_machine_id_fkey")
        await sql(innkeeper, "alter table ip_address drop constraint ip_address_machine_id_fkey")
        broken = Broken(innkeeper)
        await broken.by_sql(
            "address_without_owner",
            "update ip_address set machine_id = $1 + 900",
            "update ip_address set machine_id = $1",
            machine,
        )
        await sql(innkeeper, "update claim set machine_id = $1 + 900", machine)
        assert await kinds(innkeeper) == ["claim_without_owner", "machine_without_claims"]
        await sql(innkeeper, "update claim set machine_id = $1", machine)
        assert await kinds(innkeeper) == []


async def test_what_changes_at_the_hypervisor_is_told_once_and_gone_when_it_is_mended(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        far = await innkeeper.add_simulated("far", guests=1)
        made = await innkeeper.compose(host["id"], hostname="fox")
        uuid = (await innkeeper.get(f"machines/{made['system_id']}/"))["hardware_uuid"]
        ours = (await sql(innkeeper, "select id from installation"))[0]["id"]
        broken = Broken(innkeeper)
        mark = "update guest set installation_id = ?, machine_id = ? where name = 'foreign-0001'"

        async def marked(machine: str | None) -> None:
            rows(innkeeper, mark, str(ours) if machine else None, machine, name="far")
            await refresh(innkeeper, far)

        await marked(uuid)
        copy = await broken.until("second_guest", lambda: marked(None))
        assert (copy["name"], copy["system_id"], copy["data_at_risk"]) == ("foreign-0001", made["system_id"], True)
        await marked(str(uuid4()))
        unknown = await broken.until("unknown_guest", lambda: marked(None))
        assert "adopted as a machine" in unknown["remedy"]
        rows(innkeeper, mark, str(uuid4()), uuid, name="far")  # another Innkeeper's
        await refresh(innkeeper, far)
        assert await kinds(innkeeper) == []
        (row,) = rows(innkeeper, "select * from guest where name = 'fox'")
        rows(innkeeper, "delete from guest where name = 'fox'")
        await refresh(innkeeper, host)

        async def back() -> None:
            rows(innkeeper, f"insert into guest values ({', '.join('?' * len(row))})", *row)  # noqa: S608 # only marks
            await refresh(innkeeper, host)

        missing = await broken.until("machine_missing", back)
        assert missing["since"] is not None
        assert (await innkeeper.get(f"machines/{made['system_id']}/"))["status_name"] == "Ready"
        assert await told(innkeeper) == broken.expected

        rows(innkeeper, "delete from guest where name = 'fox'")
        await refresh(innkeeper, host)
        await marked(uuid)
        assert await kinds(innkeeper, host=far["id"]) == ["guest_elsewhere"]
        await marked(None)
        await back()
        assert await kinds(innkeeper) == []

        await marked(str(lost := uuid4()))
        await sql(innkeeper, "insert into tombstone values ($1, 'old', 'far', 'deleted')", lost)
        assert await kinds(innkeeper) == ["leftover_guest"]
        await refresh(innkeeper, far)  # which opens its removal
        await eventually(lambda: not innkeeper.simulated_guests("far"))
        await refresh(innkeeper, far)
        assert await kinds(innkeeper) == []


LAPSED = """
    update operation set lease_owner = gen_random_uuid(), lease_until = now() - interval '5 minutes',
                         not_before = now() + interval '1 hour'
     where id = $1
"""


async def quiet(innkeeper: Installation) -> bool:
    return not await kinds(innkeeper)


async def test_operations_that_nobody_moves_on_are_told(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        with innkeeper.held("make volume"):
            operation = (await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers=ASYNC, hostname="fox"
            ))["id"]  # fmt: skip

            async def composing() -> bool:
                return bool((await innkeeper.get(f"operations/{operation}/"))["step"] == "compose_on_host")

            await eventually(composing)
            assert await kinds(innkeeper) == []
            await sql(innkeeper, "update operation_log set at = at - interval '1 hour'")
            await sql(innkeeper, "update operation set created_at = now() - interval '1 hour', started_at = null")
            assert await kinds(innkeeper) == ["operation_stuck"]
            await sql(innkeeper, LAPSED, operation)
            assert await kinds(innkeeper) == ["lease_lapsed"]
            await sql(innkeeper, "update operation set not_before = now() where id = $1", operation)
            await eventually(lambda: quiet(innkeeper))


async def test_running_operations_and_machines_in_every_state_are_no_difference(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(guests=3, cores=16, delay_ms=10)
        many = [asyncio.create_task(innkeeper.compose(host["id"], hostname=f"m{number}")) for number in range(4)]
        adopting = asyncio.create_task(adopt(innkeeper, host, all="true"))
        while not all(task.done() for task in (*many, adopting)):
            assert await innkeeper.get("differences/") == []
        made = [task.result()["system_id"] for task in many]
        adopted = [one["system_id"] for one in adopting.result()]
        await innkeeper.post("machines/", op="allocate", system_id=made[0])
        await innkeeper.post(f"machines/{made[1]}/", op="mark_broken")
        leaving = [
            asyncio.create_task(innkeeper.delete(f"machines/{made[2]}/")),
            asyncio.create_task(innkeeper.post(f"machines/{made[0]}/", op="release")),
            asyncio.create_task(innkeeper.post(f"machines/{made[3]}/", op="power_on")),
            *(
                asyncio.create_task(innkeeper.api.send("POST", f"machines/{one}/", query=[("op", "forget")]))
                for one in adopted[:2]
            ),
        ]
        while not all(task.done() for task in leaving):
            assert await innkeeper.get("differences/") == []
        await asyncio.gather(*leaving)
        assert await innkeeper.get("differences/") == []
        assert await sql(innkeeper, "select * from difference") == []
        removing = asyncio.create_task(innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true"))
        while not removing.done():
            assert await innkeeper.get("differences/") == []
        await removing
