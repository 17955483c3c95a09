"""A claim of exactly what is left succeeds, one unit more is refused; other servers are not touched."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from common.errors import OutOfCapacity
from regiond.db.pool import Database
from regiond.ledger import image_claims
from regiond.ledger import store as ledger_store
from regiond.ledger.claims import set_discrete_totals
from regiond.ledger.model import DiscreteResources
from tests.integration.support.ledger_fixture import (
    CORES,
    ELSEWHERE_BYTES,
    FIRST_PAGES,
    MEMORY_MIB,
    NO_STORAGE,
    PAGES,
    POOL_BYTES,
    LedgerFixture,
)

pytestmark = pytest.mark.database

ALMOST_ONE = 0.9999999999999999  # a cast to numeric alone makes it 1, and placement counts every digit
FREE_BYTES = POOL_BYTES - ELSEWHERE_BYTES

_COPY = """
    insert into image_copy (server_id, storage_pool_id, sha256, size_bytes, state)
    values ($1, $2, repeat('a', 64), 1, 'copying') returning id
"""
_OTHER_SERVER = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib)
    values ('two', 'amd64', '1', 8, 8192) returning id
"""
_CLAIMED_THERE = "select claimed from discrete_resource where server_id = $1"
_HELD = "select amount from claim where image_copy_id = $1"


@pytest.mark.parametrize(
    ("ratio", "cores", "memory_mib", "storage"),
    [
        pytest.param(1.0, CORES, 1, NO_STORAGE, id="cores"),
        pytest.param(0.29, 2, 1, NO_STORAGE, id="floor of cores"),
        pytest.param(ALMOST_ONE, CORES - 1, 1, NO_STORAGE, id="all digits of the ratio of cores"),
        pytest.param(1.0, 1, MEMORY_MIB, NO_STORAGE, id="memory"),
        pytest.param(0.29, 1, 2375, NO_STORAGE, id="floor of memory"),
        pytest.param(ALMOST_ONE, 1, MEMORY_MIB - 1, NO_STORAGE, id="all digits of the ratio of memory"),
        pytest.param(1.0, 1, 1, {0: FREE_BYTES}, id="storage"),
    ],
)
async def test_exactly_what_is_left_can_be_claimed(
    ledger: LedgerFixture, ratio: float, cores: int, memory_mib: int, storage: Mapping[int, int]
) -> None:
    await ledger.set_ratios(0, ratio, ratio)
    more = (cores + (cores > 1), memory_mib + (memory_mib > 1), {pool: amount + 1 for pool, amount in storage.items()})
    with pytest.raises(OutOfCapacity, match=r"no longer has capacity|have too little free space"):
        await ledger.must_claim(0, *more)
    await ledger.must_claim(0, cores, memory_mib, storage)
    assert await ledger.mismatches() == []


async def test_a_discrete_claim_touches_only_its_own_server(database: Database, ledger: LedgerFixture) -> None:
    async with database.transaction() as db:
        other = await db.fetchval(_OTHER_SERVER)
        await set_discrete_totals(db, other, {("huge_pages", FIRST_PAGES): PAGES})
    await ledger.must_claim(0, 1, 0, discrete=DiscreteResources(huge_pages={FIRST_PAGES: PAGES}))
    async with database.connection() as db:
        assert await db.fetchval(_CLAIMED_THERE, other) == 0


async def new_copy(database: Database, ledger: LedgerFixture) -> int:
    async with database.connection() as db:
        copy_id: int = await db.fetchval(_COPY, ledger.server_id, ledger.pools[0])
    return copy_id


async def claim_image(database: Database, ledger: LedgerFixture, copy_id: int, amount: int) -> None:
    async with database.transaction() as db:
        await ledger_store.lock_server(db, ledger.server_id)
        await image_claims.claim_image(db, ledger.server_id, (copy_id, ledger.pools[0], amount))


async def test_the_copy_of_an_image_claims_what_is_left_and_no_more(database: Database, ledger: LedgerFixture) -> None:
    copy_id = await new_copy(database, ledger)
    await claim_image(database, ledger, copy_id, 10)
    with pytest.raises(OutOfCapacity, match=f"has {FREE_BYTES - 10} bytes left"):
        await claim_image(database, ledger, copy_id, FREE_BYTES + 1)
    await claim_image(database, ledger, copy_id, FREE_BYTES)
    async with database.connection() as db:
        assert await db.fetchval(_HELD, copy_id) == FREE_BYTES
    assert await ledger.mismatches() == []


async def test_a_copy_that_claims_enough_needs_no_space_in_its_pool(database: Database, ledger: LedgerFixture) -> None:
    """Others outside of Innkeeper have filled it meanwhile."""
    copy_id = await new_copy(database, ledger)
    await claim_image(database, ledger, copy_id, 10)
    await ledger.execute("update storage_pool set used_elsewhere_bytes = total_bytes")
    for enough in (10, 9):
        await claim_image(database, ledger, copy_id, enough)
    async with database.connection() as db:
        assert await db.fetchval(_HELD, copy_id) == 10


async def test_a_missing_pool_takes_no_copy_of_an_image(database: Database, ledger: LedgerFixture) -> None:
    copy_id = await new_copy(database, ledger)
    await ledger.execute("update storage_pool set missing_since = now()")
    with pytest.raises(OutOfCapacity):
        await claim_image(database, ledger, copy_id, 1)


async def test_nothing_is_claimed_in_an_unavailable_pool(database: Database, ledger: LedgerFixture) -> None:
    """It became that between placement and the claim."""
    copy_id = await new_copy(database, ledger)
    await ledger.execute("update storage_pool set status = 'unavailable'")
    with pytest.raises(OutOfCapacity, match="storage pools have too little free space"):
        await ledger.must_claim(0, 1, 1, {0: 5})
    with pytest.raises(OutOfCapacity, match="is unavailable, so the image cannot be copied to it"):
        await claim_image(database, ledger, copy_id, 5)
    await ledger.must_claim(0, 1, 1)
    assert await ledger.mismatches() == []
