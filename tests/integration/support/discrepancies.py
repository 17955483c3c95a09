"""Discrepancies of a deployment and of a ledger fixture, and sweeps that repair them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from regiond.db.pool import Database
from regiond.reconciler.service import Reconciler
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh
from tests.integration.support.ledger_fixture import LedgerFixture, prepare
from tests.integration.support.tables import sql

MOVE_CLAIMS = "update claim set server_id = (select server_id from vm_host where id = $2) where machine_id = $1"
EXPIRE_LEASE = """
    update operation set lease_owner = gen_random_uuid(), lease_until = now() - interval '5 minutes',
                         not_before = now() + interval '1 hour'
     where id = $1
"""


async def kinds(innkeeper: Deployment, **filters: object) -> list[str]:
    """Returns the kinds of the open discrepancies that match the filters, sorted."""
    query = [(name, str(value)) for name, value in filters.items()]
    return sorted(one["kind"] for one in (await innkeeper.api.send("GET", "discrepancies/", query=query)).json())


async def only(innkeeper: Deployment, kind: str | None = None) -> Any:
    """Returns the only open discrepancy, or the only one of the kind."""
    (found,) = [one for one in await innkeeper.get("discrepancies/") if kind in (None, one["kind"])]
    return found


async def only_after_refresh(innkeeper: Deployment, host: Any, kind: str | None = None) -> Any:
    """Refreshes the host, then returns the only open discrepancy, or the only one of the kind."""
    await refresh(innkeeper, host)
    return await only(innkeeper, kind)


async def kinds_after_refresh(innkeeper: Deployment, *hosts: Any) -> list[str]:
    """Refreshes the hosts, then returns the kinds of all open discrepancies, sorted."""
    for host in hosts:
        await refresh(innkeeper, host)
    return await kinds(innkeeper)


async def row_of(innkeeper: Deployment, machine: Any) -> Any:
    """Returns the database row of a machine of the API."""
    (row,) = await sql(innkeeper, "select * from machine where system_id = $1", machine["system_id"])
    return row


@frozen
class Sweeper:
    """A second reconciler beside the region's, which sweeps on request and repairs."""

    innkeeper: Deployment

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(self.innkeeper.region.components.database, every_s=0.0)

    async def sweep(self) -> list[str]:
        """Sweeps; returns the kinds that were repaired."""
        return sorted({one.discrepancy.kind.value for one in await self.reconciler.sweep()})

    async def sweep_until_clean(self) -> list[str]:
        """Sweeps until no discrepancy is left; returns the repaired kinds. The first sweep only records."""
        assert await self.sweep() == []
        repaired: list[str] = []
        while await kinds(self.innkeeper):
            found = await self.sweep()
            assert found or not repaired, "a sweep left a discrepancy and repaired nothing"
            repaired += found
        return repaired


async def without_guests(database: Database) -> LedgerFixture:
    """A ledger without the foreign guests, whose rows claim nothing."""
    ledger = await prepare(database)
    await ledger.execute("delete from guest")
    return ledger


async def ledger_with_wrong_total(database: Database) -> LedgerFixture:
    """A server with a wrong total, which two sweeps have recorded."""
    ledger = await without_guests(database)
    await ledger.must_claim(0, 1, 1, {0: 5})  # as in the machine's row
    await ledger.execute("update server set cores_claimed = 7")
    detector = Reconciler(database, every_s=0.0, auto_repair=False)
    assert (await detector.sweep(), await detector.sweep()) == ((), ())
    return ledger
