"""The migration that records which machines are in a chosen zone, on a database of the release before."""

from __future__ import annotations

import pytest

from regiond.db.migrate import migrate, packaged
from regiond.db.pool import connect

pytestmark = pytest.mark.database

_BEFORE = """
    insert into zone (name) values ('east'), ('west');
    insert into vm_host (name, driver, address, zone_id, system_id)
    select 'in-' || name, 'simulated', name, id, name from zone;
    insert into machine (uuid, system_id, hostname, host_id, zone_id, state, architecture, cores, memory_mib)
    select gen_random_uuid(), h.name || z.name, z.name || '-on-' || h.name, h.id, z.id, 'ready', 'amd64', 1, 1024
      from vm_host h, zone z where h.name <> 'in-west';
    insert into machine (uuid, system_id, hostname, state, architecture, cores, memory_mib)
    values (gen_random_uuid(), 'failed', 'failed', 'failed_compose', 'amd64', 1, 1024);
"""
_AFTER = "select m.hostname, z.name as zone, m.zone_chosen from machine m join zone z on z.id = m.zone_id"


async def test_machines_in_the_default_zone_join_their_hosts(empty_database_url: str) -> None:
    """The default zone was what a compose without a zone got. Every other zone than the host's was chosen."""
    await migrate(empty_database_url, packaged()[:7])
    db = await connect(empty_database_url, application_name="test")
    try:
        await db.execute(_BEFORE)
        await migrate(empty_database_url)
        found = {row["hostname"]: (row["zone"], row["zone_chosen"]) for row in await db.fetch(_AFTER)}
    finally:
        await db.close()
    assert found == {
        "default-on-in-default": ("default", False),
        "east-on-in-default": ("east", True),
        "west-on-in-default": ("west", True),
        "default-on-in-east": ("east", False),
        "east-on-in-east": ("east", False),
        "west-on-in-east": ("west", True),
        "failed": ("default", False),
    }
