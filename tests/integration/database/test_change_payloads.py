"""Notifications of changes fit PostgreSQL's limit of 8,000 bytes, however many resource pools there are."""

from __future__ import annotations

import pytest

from regiond.db.pool import Database
from tests.postgresql.database import execute
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

_POOLS = "insert into resource_pool (name) select 'pool ' || n from generate_series(1, 2000) n"
_CHANGES = {
    "dns": "insert into dns_domain (name) values ('lab')",
    "attention": "insert into attention_since (kind, object) values ('quota', 'quota 1')",
    "images": """
        insert into image (name, architecture, sha256, size_bytes, expires_at, store_id)
        values ('custom/x', 'amd64', '', 1, now(), gen_random_uuid())
    """,
}


@pytest.mark.parametrize("topic", _CHANGES)
async def test_a_change_for_everybody_names_no_resource_pools(database: Database, topic: str) -> None:
    await execute(database, _POOLS)
    assert f"{topic} * -" in await notified(database, _CHANGES[topic])


async def test_a_longer_payload_says_only_that_something_changed(database: Database) -> None:
    change = "select notify_changed(array['hosts'], array(select generate_series(1, 2000)), '{}')"
    assert await notified(database, change) == ["*"]


@pytest.mark.parametrize(
    "change",
    [
        "update rpc_client set revoked_at = now()",
        "update rpc_client set certificate_expires_at = now() + interval '1 year'",
        "delete from rpc_client",
    ],
)
async def test_attention_of_an_rpc_client_is_live_for_its_account(database: Database, change: str) -> None:
    await execute(
        database,
        "insert into account (id, username, is_admin, is_active) values (7, 'ann', false, true)",
    )
    await execute(
        database,
        "insert into rpc_client (id, name, account_id, certificate_fingerprint, certificate_expires_at)"
        " values (gen_random_uuid(), 'east', 7, 'aa', now())",
    )
    assert await notified(database, change) == ["attention - 7"]


async def notified(database: Database, statement: str) -> list[str]:
    """Returns the payloads of the changes that the statement reports."""
    payloads: list[str] = []

    def receive(*notification: object) -> None:
        payloads.append(str(notification[-1]))

    async with database.connection() as db:
        await db.add_listener("changed", receive)
        await db.execute(statement)
        await eventually(lambda: payloads)
        await db.remove_listener("changed", receive)
    return payloads
