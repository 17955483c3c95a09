"""A database that takes no writes for a time: reading goes on, changing is refused with the reason, all comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import InnkeeperError, LinkLost
from innkeeper.http import Api
from regiond.db.pool import connect
from regiond.maintenance import check
from tests.installation import Installation, installed
from tests.waiting import eventually

COMPOSE = {"cores": 1, "memory": 1024}


async def set_read_only(dsn: str, how: str) -> None:
    """For every connection from now on; those that are open are cut, as at a failover."""
    db = await connect(f"{dsn}{'&' if '?' in dsn else '?'}default_transaction_read_only=off", application_name="test")
    name = urlsplit(dsn).path.strip("/")
    await db.execute(f'alter database "{name}" set default_transaction_read_only = {how}')
    if how == "on":
        await db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
            name,
        )
    await db.close()


async def health(innkeeper: Installation) -> str:
    """`ready`, or why not."""
    root = innkeeper.region.api_url.removesuffix("MAAS/")
    try:
        return (await Api(root, None).get("healthz/ready")).body.decode()
    except LinkLost:
        raise
    except InnkeeperError as error:
        return error.message


async def test_reading_goes_on_writing_is_refused_with_the_reason_and_all_comes_back_by_itself(
    tmp_path: Path, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        first = await innkeeper.compose(host["id"], hostname="first", **COMPOSE)
        with innkeeper.held("make volume"):
            begun = await innkeeper.post(
                f"vm-hosts/{host['id']}/", op="compose", headers={"Prefer": "respond-async"}, hostname="inn"
            )
            await eventually(lambda: innkeeper.region.parts.engine.running)
            await set_read_only(database_url, "on")
        await eventually(lambda: _says(innkeeper, "read-only"))  # the cut connections are met first
        assert [one["name"] for one in await innkeeper.get("vm-hosts/")] == ["sim"]
        asked = await innkeeper.get(f"machines/{first['system_id']}/", op="query_power_state")
        assert asked == {"state": "off"}  # that goes to the host
        assert (await innkeeper.get(f"operations/{begun['id']}/"))["state"] == "running"
        with pytest.raises(InnkeeperError, match="database is read-only: reading goes on") as refused:
            await innkeeper.compose(host["id"], **COMPOSE)
        assert refused.value.details["status"] == 503
        (told,) = await check(innkeeper.settings)
        assert told.startswith("The database is read-only")
        await eventually(lambda: not innkeeper.region.parts.engine.running)  # it could not be told that it ended
        await asyncio.gather(*(_refused(innkeeper, host["id"]) for _ in range(20)))
        await set_read_only(database_url, "off")
        await eventually(lambda: _is_ready(innkeeper))
        async with innkeeper.region.parts.database.connection() as db:
            await db.execute("update operation set lease_until = now() where lease_until is not null")

        async def ended() -> bool:
            return bool((await innkeeper.get(f"operations/{begun['id']}/"))["state"] == "succeeded")

        await eventually(ended)  # begun anew when its lease had lapsed, and the guest that was there was found
        assert innkeeper.simulated_guests() == ["first", "inn"]
        await innkeeper.compose(host["id"], **COMPOSE)
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert said.count("operations_not_taken") < 5  # said when it is news, not every two seconds


async def _says(innkeeper: Installation, what: str) -> bool:
    return what in await health(innkeeper)


async def _is_ready(innkeeper: Installation) -> bool:
    return await health(innkeeper) == "ready"


async def _refused(innkeeper: Installation, host_id: int) -> None:
    with pytest.raises(InnkeeperError, match="read-only"):
        await innkeeper.compose(host_id, **COMPOSE)
