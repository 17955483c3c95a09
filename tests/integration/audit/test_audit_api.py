"""The audit trail of a running region: API, RPC clients and commands on its computer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from common.values import PowerAction
from innkeeper import rpc
from innkeeper.http import Api
from regiond.commands.admin_commands import check, create_api_key
from regiond.process.settings import RegionSettings
from tests.deployment.deployment import Deployment
from tests.integration.installation.test_repeated_commands import logged_in
from tests.integration.rpc.test_rpc_misuse import address_of, issue
from tests.integration.support.users import as_user
from tests.unit.command.processes import finished, started


async def trail(innkeeper: Deployment, **filters: str) -> list[dict[str, Any]]:
    answer = await innkeeper.send("GET", "audit/", query=filters.items())
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_requests_are_recorded_with_who_what_and_result(rackless: Deployment) -> None:
    await rackless.post("zones/", name="east")
    await rackless.get("zones/")
    with pytest.raises(InnkeeperError):
        await rackless.post("zones/", name="east")
    rejected, created = await trail(rackless, object="zones")
    assert (created["username"], created["action"], created["address"]) == ("admin", "Zones.create", "127.0.0.1")
    assert (created["result"], created["status"], created["fields"]) == ("ok", 200, {"name": "east"})
    assert created["credential"].startswith("API key ")
    assert created["request_id"]
    assert (rejected["result"], rejected["status"]) == ("rejected", 400)


async def test_a_compose_is_recorded_with_its_operation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("west")
    await innkeeper.compose(host["id"], cores=1, memory=1024)
    async with rpc.connect(address_of(innkeeper), folder=await issue(innkeeper, "robot")) as region:
        begun = await region.wait((await region.compose(cores=1, memory_mib=1024)).id)
    (by_client,) = await trail(innkeeper, action="client.compose")
    (entry,) = await trail(innkeeper, action="VmHost.compose")
    assert (by_client["operation"], entry["result"]) == (begun.id, "ok")
    assert (by_client["fields"]["cores"], entry["fields"]["cores"]) == ("1", "1")
    operations = {one["id"]: one["kind"] for one in await innkeeper.get("operations/")}
    assert operations[entry["operation"]] == "compose"


async def test_a_region_that_stops_records_repeated_rejections(rackless: Deployment) -> None:
    ann = await as_user(rackless, "ann")
    for _ in range(4):
        with pytest.raises(NotAllowed):
            await ann.post("zones/", name="east")
    assert [one["not_recorded"] for one in await trail(rackless, user="ann")] == [0]
    await rackless.in_process.stop_region()
    await rackless.in_process.start_region()
    last, first = await trail(rackless, user="ann")
    assert (first["not_recorded"], last["not_recorded"], last["status"]) == (0, 2, 403)


async def test_a_wrong_key_is_recorded_with_its_address(rackless: Deployment) -> None:
    with pytest.raises(NotAuthenticated):
        await Api(rackless.api.url, "a:b:c").get("machines/")
    (entry,) = await trail(rackless, result="rejected")
    assert (entry["username"], entry["credential"], entry["address"]) == (None, "API key b", "127.0.0.1")


async def test_an_rpc_client_is_recorded_by_name(rackless: Deployment) -> None:
    async with rpc.connect(address_of(rackless), folder=await issue(rackless, "robot")) as region:
        with pytest.raises(NotFound):
            await region.power("nothing", PowerAction.ON)
    (entry,) = await trail(rackless, action="client.power")
    assert (entry["username"], entry["object"], entry["result"]) == ("admin", "machines/nothing", "rejected")
    assert entry["credential"].startswith("RPC client robot, certificate ")
    assert (entry["address"], entry["error"]) == ("127.0.0.1", "not_found")
    assert entry["fields"] == {"action": "(not recorded)"}


async def test_a_resize_by_an_rpc_client_is_recorded(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], cores=1, memory=1024))["system_id"]
    async with rpc.connect(address_of(innkeeper), folder=await issue(innkeeper, "robot")) as region:
        operation = await region.resize(system_id, cores=2)
    (entry,) = await trail(innkeeper, action="client.resize")
    assert (entry["object"], entry["result"], entry["fields"]) == (f"machines/{system_id}", "ok", {"cores": "2"})
    assert entry["operation"] == operation.id


async def test_a_command_on_the_regions_computer_is_recorded(rackless: Deployment) -> None:
    settings = RegionSettings(database=rackless.dsn, state=rackless.folder / "state")
    key = await create_api_key(settings, "admin", "spare")
    (entry,) = await trail(rackless, action="regiond.apikey")
    assert (entry["object"], entry["result"], entry["address"]) == ("users/admin", "ok", "local")
    assert entry["username"]
    rows = (await rackless.send("GET", "audit/", op="export")).json()
    assert not any(part in json.dumps(rows) for part in key.split(":"))
    assert await check(settings) == []


async def test_a_field_of_an_old_entry_is_redacted_by_the_api(rackless: Deployment) -> None:
    await rackless.post("zones/", name="hunter2")
    (entry,) = await trail(rackless, object="zones")
    fields = {"id": entry["id"], "field": "name", "comment": "leaked"}
    plan = await rackless.post("audit/", op="redact", **fields, dry_run="true")
    assert (plan["deleted"], plan["effects"]) == ([], ["Redacts values of 1 request."])
    assert (await trail(rackless, object="zones")) == [entry]
    assert (await rackless.post("audit/", op="redact", **fields))["requests"] == 1
    (after,) = await trail(rackless, object="zones")
    assert after == {**entry, "fields": {"name": "(redacted)"}, "redacted_by": after["redacted_by"]}
    (record,) = await trail(rackless, action="audit.redact")
    (asked,) = await trail(rackless, action="Audit.redact")
    assert (record["id"], record["username"], record["fields"]) == (
        after["redacted_by"],
        "admin",
        {"comment": "leaked"},
    )
    assert asked["fields"] == {"id": str(entry["id"]), "field": "name", "comment": "leaked"}
    report = (await rackless.send("GET", "audit/", op="verify")).json()
    assert (report["problems"], report["redacted"]) == ([], 1)
    assert "hunter2" not in (await rackless.send("GET", "audit/", op="export")).body.decode()


async def test_what_this_release_would_not_record_is_redacted(rackless: Deployment) -> None:
    old = {"action": "Machine.deploy", "fields": {"user_data": "hunter2", "comment": "night"}, "result": "ok"}
    called = {"action": "client.compose", "fields": {"request": "hunter2", "host": "west"}, "result": "ok"}
    async with rackless.connection() as db:
        await db.execute("select audit_append($1)", [json.dumps(one) for one in (old, called)])
    assert (await rackless.post("audit/", op="redact", unlisted="true", comment="upgraded"))["requests"] == 2
    found = {one["action"]: one["fields"] for one in await trail(rackless)}
    assert found["Machine.deploy"] == {"user_data": "(redacted)", "comment": "night"}
    assert found["client.compose"] == {"request": "(redacted)", "host": "west"}
    assert (await rackless.post("audit/", op="redact", unlisted="true", comment="upgraded"))["requests"] == 0


@pytest.mark.slow
async def test_the_command_redacts_and_says_before_what_it_would(rackless: Deployment, tmp_path: Path) -> None:
    await rackless.post("zones/", name="hunter2")
    async with logged_in(rackless, tmp_path):
        command = ("audit", "redact", "field=name", "comment=leaked once")
        for dry_run in ("--dry-run", "dry_run=true"):
            planned = await finished(await started(tmp_path, *command, dry_run))
            assert (planned.status, "Redacts values of 1 request." in planned.out) == (0, True), planned
        ran = await finished(await started(tmp_path, *command, "--yes"))
        assert (ran.status, json.loads(ran.out)) == (0, {"requests": 1, "is_complete": True, "after": None})
    assert (await trail(rackless, object="zones"))[0]["fields"] == {"name": "(redacted)"}


@pytest.mark.slow
async def test_the_command_redacts_until_no_more_are_left(rackless: Deployment, tmp_path: Path) -> None:
    old = json.dumps({"action": "Machine.deploy", "fields": {"user_data": "hunter2"}, "result": "ok"})
    async with rackless.connection() as db:
        await db.execute("select audit_append(array_fill($1::text, array[5020]))", old)
    async with logged_in(rackless, tmp_path):
        ran = await finished(await started(tmp_path, "audit", "redact", "field=user_data", "comment=x", "--yes"))
    assert (ran.status, json.loads(ran.out)) == (0, {"requests": 5020, "is_complete": True, "after": None})


async def test_a_redaction_names_what_it_redacts(rackless: Deployment) -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"unlisted": "true", "id": "1"})
    for fields in wrong:
        with pytest.raises(InvalidRequest) as rejected:
            await rackless.post("audit/", op="redact", comment="x", **fields)
        assert rejected.value.fields.keys() == {"id"}


async def test_only_administrators_see_the_trail(rackless: Deployment) -> None:
    report = (await rackless.send("GET", "audit/", op="verify")).json()
    assert report["problems"] == []
    other = await as_user(rackless, "ann")
    with pytest.raises(InnkeeperError, match="reserved for admin"):
        await other.post("audit/", op="redact", id=1, comment="x")
    for op in (None, "export", "verify"):
        with pytest.raises(InnkeeperError, match="reserved for admin"):
            await other.send("GET", "audit/", op=op)
