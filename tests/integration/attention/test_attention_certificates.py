"""Certificates in the list of what needs attention: those that servers present, and those of RPC clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.process.periodic import AFTER_START_S
from common.trust.certificates import make_authority
from regiond.db.pool import Db
from regiond.hosts.address import identity_store
from regiond.hosts.trust.certificate_expiry import read_expiry_of_servers
from tests.deployment.deployment import Deployment
from tests.integration.attention.test_attention import age, items
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.clock import advance
from tests.support.waiting import eventually

__all__ = ["client"]
pytestmark = pytest.mark.database

IN_12_DAYS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=12)
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"
_EXPIRY = "select pinned_expires_at from vm_host where id = $1"
_UNREAD = "update vm_host set pinned_expires_at = null, driver = 'lxd'"
_CLIENT = "update rpc_client set certificate_expires_at = now() + $1::interval, issued_at = now() - $2::interval"


def certificate(expires_at: datetime = IN_12_DAYS) -> str:
    return make_authority("elm", now := datetime.now(UTC), expires_at - now)[1]


async def pinned(innkeeper: Deployment, host: Any, material: str) -> datetime | None:
    """Pins it and returns when it expires."""
    async with innkeeper.region.components.database.connection() as db:
        await identity_store.pin(db, host["id"], material, "ab")
        return await expiry(db, host)


async def expiry(db: Db, host: Any) -> datetime | None:
    found: datetime | None = await db.fetchval(_EXPIRY, host["id"])
    return found


async def test_a_pinned_certificate_that_expires_soon_is_found(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    assert await pinned(innkeeper, host, certificate()) == IN_12_DAYS
    (item,) = (await items(innkeeper)).values()
    assert (item["kind"], item["severity"], item["object"]) == ("server_certificate_expiring", "caution", "host")
    assert item["text"].startswith("elm presents a certificate that expires in 11 days. It is valid until ")
    assert "Then accept the new fingerprint" in item["remedy"]
    assert age(item) < timedelta(minutes=1)  # not before the host was added
    assert await pinned(innkeeper, host, certificate(datetime.now(UTC) - timedelta(hours=5))) is not None
    expired = (await items(innkeeper))["server_certificate_expiring"]
    assert (expired["severity"], age(expired) // timedelta(hours=1)) == ("broken", 5)
    assert await pinned(innkeeper, host, certificate(datetime.now(UTC) + timedelta(days=40))) is not None
    assert await items(innkeeper) == {}


async def test_the_product_is_that_which_answered_while_it_does_not_trust_us(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await pinned(innkeeper, host, certificate())
    await sql(innkeeper, "update vm_host set server_id = null, error_details = $1", {"product": "Incus"})
    item = (await items(innkeeper))["server_certificate_expiring"]
    assert item["remedy"].startswith("Replace server.crt and server.key in the folder of Incus on the server")


async def test_the_expiry_of_pins_of_earlier_releases_is_read(innkeeper: Deployment) -> None:
    hosts = [await innkeeper.add_simulated(name) for name in ("elm", "oak", "ash")]
    for host, material in zip(hosts, (certificate(), "nothing that can be read", SSH_KEY), strict=True):
        await pinned(innkeeper, host, material)
    await sql(innkeeper, _UNREAD)
    database = innkeeper.region.components.database
    assert await read_expiry_of_servers(database) == 1
    assert await read_expiry_of_servers(database) == 0
    async with database.connection() as db:
        assert [await expiry(db, host) for host in hosts] == [IN_12_DAYS, None, None]
        await identity_store.unpin(db, hosts[0]["id"])
        assert await expiry(db, hosts[0]) is None


async def test_a_region_that_starts_reads_the_expiry_of_earlier_pins(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("elm")
    await pinned(innkeeper, host, certificate())
    await sql(innkeeper, _UNREAD)
    await innkeeper.restart("region")

    async def is_found() -> bool:
        return "server_certificate_expiring" in await items(innkeeper)

    await advance(AFTER_START_S)
    assert await eventually(is_found)
    await sql(innkeeper, "update vm_host set driver = 'simulated'")


async def test_the_certificate_of_an_rpc_client_is_found_for_its_user(innkeeper: Deployment) -> None:
    ann, eve = await as_user(innkeeper, "ann"), await as_user(innkeeper, "eve")
    await ann.post("rpc-clients/", name="east")
    assert await items(innkeeper) == {}
    await sql(innkeeper, _CLIENT, timedelta(hours=5), timedelta(days=6))
    (item,) = (await items(ann)).values()
    assert item["kind"] == "client_certificate_expiring"
    assert item["text"].startswith("RPC client east has a certificate that expires in 4 hours.")
    assert item["remedy"].startswith("Start its program")
    assert list(await items(innkeeper)) == ["client_certificate_expiring"]
    assert await items(eve) == {}
    await sql(innkeeper, _CLIENT, -timedelta(hours=5), timedelta(days=7))
    expired = (await items(ann))["client_certificate_expiring"]
    assert expired["severity"] == "broken"
    assert expired["remedy"].startswith("Issue a new one with the same name")
    await ann.delete("rpc-clients/east/")
    assert await items(ann) == {}


async def test_a_certificate_that_is_valid_for_an_hour_is_no_item_at_once(innkeeper: Deployment) -> None:
    await innkeeper.post("rpc-clients/", name="east")
    await sql(innkeeper, _CLIENT, timedelta(minutes=50), timedelta(minutes=10))
    assert await items(innkeeper) == {}
    await sql(innkeeper, _CLIENT, timedelta(minutes=5), timedelta(minutes=55))
    assert list(await items(innkeeper)) == ["client_certificate_expiring"]


@pytest.mark.slow
async def test_pages_of_the_objects_say_the_same(innkeeper: Deployment, client: WebClient) -> None:
    host = await innkeeper.add_simulated("elm")
    await innkeeper.post("rpc-clients/", name="east")
    await pinned(innkeeper, host, certificate())
    await sql(innkeeper, _CLIENT, timedelta(hours=5), timedelta(days=6))
    for path in ("attention", f"hosts/{host['id']}/settings"):
        assert "elm</a> presents a certificate that expires in 11 days" in await page(client, path), path
    for path in ("attention", "account/clients"):
        assert "RPC client east</a> has a certificate that expires in 4 hours" in await page(client, path), path
    for path in (f"hosts/{host['id']}/settings", "account/clients"):
        assert "ik-issues__act" not in await page(client, path), "a page has no button that leads to itself"
    assert (await page(client, "attention")).count("ik-issues__act") == 2
