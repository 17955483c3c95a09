"""Saved filters and chosen columns through the API, and hosts that are searched by fields."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlencode

import pytest

from common.errors import InvalidRequest
from regiond.accounts.lists import Lists
from regiond.accounts.model import MAX_SAVED_FILTERS
from regiond.db.pool import Database
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment


async def _caller(database: Database, name: str) -> Caller:
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ($1) returning id", name)
    return Caller(account_id=account_id, username=name, is_admin=False)


async def _get(deployment: Deployment, path: str, query: str, **options: str) -> Any:
    return await deployment.get(f"{path}?{urlencode({'q': query, **options})}")


async def _refusal(request: Awaitable[Any], field: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        await request
    return " ".join(refused.value.fields[field])


async def test_filters_are_saved_changed_and_deleted(rackless: Deployment) -> None:
    new: dict[str, Any] = {"list": "vms", "name": "failed", "query": "pool:staging state:failed"}
    saved: dict[str, Any] = await rackless.post("account/filters/", **new)
    assert {name: saved[name] for name in new} == new
    assert await rackless.get("account/filters/?list=vms") == [saved]
    assert await rackless.get("account/filters/?list=hosts") == []
    changed = await rackless.put(f"account/filters/{saved['id']}/", name="all failed")
    assert (changed["name"], changed["query"]) == ("all failed", new["query"])
    assert "There is no field colour" in await _refusal(
        rackless.post("account/filters/", **{**new, "query": "colour:red"}), "query"
    )
    assert "needs a value" in await _refusal(rackless.put(f"account/filters/{saved['id']}/", query="state:"), "query")
    for name in ("name", "query"):
        assert "required" in await _refusal(rackless.put(f"account/filters/{saved['id']}/", **{name: " "}), name)
    await rackless.delete(f"account/filters/{saved['id']}/")
    assert await rackless.get("account/filters/") == []


async def test_columns_are_chosen_and_forgotten(rackless: Deployment) -> None:
    chosen = await rackless.put("account/columns/vms/", columns=["owner", "host"])
    assert chosen["columns"] == ["owner", "host"]
    assert (await rackless.get("account/columns/vms/"))["columns"] == ["owner", "host"]
    assert [one["list"] for one in await rackless.get("account/columns/")] == ["vms"]
    assert "is not one of" in await _refusal(rackless.put("account/columns/host-vms/", columns=["host"]), "columns")
    await rackless.delete("account/columns/vms/")
    shown = (await rackless.get("account/columns/vms/"))["columns"]
    assert {"host", "addresses", "cores", "memory", "cpu_used", "owner", "task"} <= {*shown}


@pytest.mark.database
async def test_each_user_has_fifty_filters_with_names_of_their_own(database: Database) -> None:
    lists, ann, bob = Lists(database), await _caller(database, "ann"), await _caller(database, "bob")
    first = await lists.save(ann, "vms", "one", "web")
    await lists.save(ann, "hosts", "one", "web")
    await lists.save(bob, "vms", "one", "db")
    with pytest.raises(InvalidRequest, match="already"):
        await lists.save(ann, "vms", "one", "other")
    second = await lists.save(ann, "vms", "two", "web")
    with pytest.raises(InvalidRequest, match="already"):
        await lists.change(ann, second.id, "one", None)
    assert (await lists.change(ann, first.id, "one", "changed")).query == "changed"
    for number in range(MAX_SAVED_FILTERS - 3):
        await lists.save(ann, "vms", f"filter {number}", "web")
    with pytest.raises(InvalidRequest, match="delete one first"):
        await lists.save(ann, "vms", "one too many", "web")
    assert [one.query for one in await lists.filters(bob)] == ["db"]


@pytest.mark.database
async def test_filters_and_columns_are_deleted_with_their_user(database: Database) -> None:
    lists, ann = Lists(database), await _caller(database, "ann")
    await lists.save(ann, "vms", "one", "web")
    await lists.choose_columns(ann, "vms", ("host", "host", "owner"))
    assert (await lists.columns(ann))[0].columns == ("host", "owner")
    async with database.connection() as db:
        await db.execute("delete from account where id = $1", ann.account_id)
        left = await db.fetchval("select (select count(*) from saved_filter) + (select count(*) from list_columns)")
    assert left == 0


async def test_the_api_searches_hosts_and_machines_by_fields(innkeeper: Deployment) -> None:
    alder = await innkeeper.add_simulated("alder", cores=16, memory_mib=65536)
    await innkeeper.add_simulated("birch", cores=4, memory_mib=8192)
    await innkeeper.compose(alder["id"], hostname="web-1", cores=2, memory=2048)
    await innkeeper.compose(alder["id"], hostname="db-1", cores=1, memory=4096)
    hosts = await _get(innkeeper, "vm-hosts/", "cores:>=8 zone:default")
    assert [one["name"] for one in hosts] == ["alder"]
    assert [one["name"] for one in await _get(innkeeper, "vm-hosts/", "-vms:0", limit="5")] == ["alder"]
    machines = await _get(innkeeper, "machines/", "host:alder ram:<=2", sort="hostname")
    assert [one["hostname"] for one in machines] == ["web-1"]
    unknown = await _refusal(_get(innkeeper, "vm-hosts/", "zone:nowhere"), "q")
    assert unknown == "zone: There is no zone 'nowhere'; there is default."
    assert "'faild' is not one of" in await _refusal(_get(innkeeper, "machines/", "state:faild"), "q")
