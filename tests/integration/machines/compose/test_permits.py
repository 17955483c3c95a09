"""Which composes roles and quotas permit in the transaction that reserves them."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotAllowed, QuotaExceeded
from common.guests.compose_request import ComposeRequest
from common.units import BYTES_PER_GB
from regiond.db.pool import Database
from regiond.machines.arrivals.compose.model import HostAssignment, ValidatedCompose
from regiond.machines.arrivals.compose.permits import permit, within_pool_quotas
from regiond.machines.values.requests import ComposeIntent
from regiond.placement.model import DiskPlacement, Evaluation
from regiond.requests.caller import Caller
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import settle
from tests.unit.support.candidates import HOST, SMALL

pytestmark = pytest.mark.database

_ACCOUNT = "insert into account (username) values ('ann') returning id"
_POOL = "insert into resource_pool (name) values ('lab') returning id"
_GRANT = "insert into pool_grant (account_id, pool_id, role) values ($1, $2, $3)"
_QUOTA = "insert into quota (pool_id, machines) values ($1, $2)"
_STORAGE_QUOTA = "insert into quota (account_id, storage_bytes) values ($1, $2)"


@pytest.fixture
def ann(database: Database) -> Caller:
    return Caller(account_id=settle(fetchval(database, _ACCOUNT)), username="ann", is_admin=False)


@pytest.fixture
def lab(database: Database) -> int:
    """Another resource pool than that of the host, 0."""
    pool_id: int = settle(fetchval(database, _POOL))
    return pool_id


def assignment(*, pool_id: int | None = None) -> HostAssignment:
    """A small machine on a host of pool 0, in `pool_id` or that of the host."""
    validated = ValidatedCompose(
        intent=ComposeIntent(request=ComposeRequest()), requirements=SMALL, strategy="spread", hostname=None,
        zone_id=1, pool_id=pool_id,
    )  # fmt: skip
    return HostAssignment(validated=validated, evaluation=Evaluation(host_id=1, host_name="a"), host=HOST)


@pytest.mark.parametrize(
    ("roles", "is_permitted"),
    [
        ({}, False),
        ({"host": "operator"}, False),
        ({"machine": "operator"}, False),
        ({"host": "operator", "machine": "viewer"}, False),
        ({"host": "operator", "machine": "operator"}, True),
    ],
    ids=str,
)
async def test_a_compose_needs_the_role_in_the_pools_of_host_and_machine(
    database: Database, ann: Caller, lab: int, roles: dict[str, str], *, is_permitted: bool
) -> None:
    for of, role in roles.items():
        await execute(database, _GRANT, ann.account_id, lab if of == "machine" else 0, role)
    composes = [(ann, assignment(pool_id=lab))]
    async with database.transaction() as db:
        assert await permit(db, composes, wait=False) == [is_permitted]
        if is_permitted:
            assert await permit(db, composes, wait=True) == [True]
        else:
            with pytest.raises(NotAllowed, match="has just been revoked"):
                await permit(db, composes, wait=True)


@pytest.mark.parametrize(("less", "is_permitted"), [(0, True), (10**6, False)])
async def test_disks_count_with_the_sizes_that_their_host_makes(
    database: Database, ann: Caller, less: int, *, is_permitted: bool
) -> None:
    root, data = (
        DiskPlacement(label=label, size_bytes=size_bytes, tags=(), storage_pool_id=1, storage_pool="default")
        for label, size_bytes in (("root", 4 * BYTES_PER_GB), ("data", BYTES_PER_GB))
    )
    one = assignment()
    one = evolve(one, evaluation=evolve(one.evaluation, disks=(root, data)))
    await execute(database, _GRANT, ann.account_id, 0, "operator")
    await execute(database, _STORAGE_QUOTA, ann.account_id, 5 * BYTES_PER_GB - less)
    async with database.transaction() as db:
        assert await permit(db, [(ann, one)], wait=False) == [is_permitted]
        if not is_permitted:
            with pytest.raises(QuotaExceeded):
                await permit(db, [(ann, one)], wait=True)


async def test_a_machine_that_moves_within_its_pool_needs_no_room_in_its_quota(database: Database, lab: int) -> None:
    """It counts there already, also if its pool is full."""
    for pool_id in (0, lab):
        await execute(database, _QUOTA, pool_id, 0)
    alternatives = [assignment(), assignment(pool_id=lab)]
    async with database.transaction() as db:
        assert await within_pool_quotas(db, 0, alternatives) == alternatives[:1]
        assert await within_pool_quotas(db, lab, alternatives) == alternatives[1:]
    await execute(database, "update quota set machines = 1 where pool_id = $1", lab)
    async with database.transaction() as db:
        assert await within_pool_quotas(db, 0, alternatives) == alternatives
