"""Requests with an idempotency key, on PostgreSQL: one region or two, errors, secrets, bounds, dead regions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from regiond.accounts.model import ApiKey
from regiond.api.pipeline.idempotency import REPLAYED
from regiond.api.replies import Reply
from regiond.commands.admin_commands import rewrap_secrets
from regiond.credentials.master_key import open_master_key
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.housekeeping.retention import Retention, RetentionPeriods
from regiond.operations.idempotency import service, store
from regiond.operations.idempotency.model import KeptAnswer
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.process.settings import RegionSettings
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed, second_region
from tests.integration.support.real_api import RealApi, admin_key
from tests.integration.support.tables import dump
from tests.postgresql.database import execute, fetchval
from tests.support.administrators import first_administrator
from tests.support.waiting import eventually
from tests.unit.support.api_double import json_of
from tests.unit.support.api_samples import ADMIN

TAG = {"name": "fast"}
PASSWORD = "vault-orbit-kettle-91"  # noqa: S105  # of an account of the test
TIED = "select o.kind from idempotency_key k join operation o on o.id = k.operation_id where k.key = $1"
OVERDUE = "update idempotency_key set lease_ends_at = now() - interval '1 second'"


@define
class HeldTags:
    """The tags of a region. A creation waits until it may continue."""

    real: Any
    begun: int = 0
    may_continue: asyncio.Event = field(factory=asyncio.Event)

    async def create(self, caller: Caller, tag: Any) -> Any:
        self.begun += 1
        await self.may_continue.wait()
        return await self.real.create(caller, tag)


@frozen(kw_only=True)
class Client:
    api: RealApi
    key: ApiKey

    @classmethod
    def of(cls, region: Deployment, key: ApiKey | None = None, **services: Any) -> Client:
        return cls(api=RealApi.of(region, **services), key=key or admin_key(region))

    async def send(self, method: str, path: str, *, once: str | None = "k", **sent: Any) -> Reply:
        return await self.api.send(method, path, key=self.key, idempotency_key=once, **sent)

    async def create_tag(self, **sent: Any) -> Reply:
        return await self.send("POST", "tags/", **{"form": TAG, **sent})


def components(region: Deployment) -> Any:
    return region.region.components


def tags_of(region: Deployment) -> HeldTags:
    return HeldTags(components(region).services.tags)


def is_replayed(reply: Reply) -> bool:
    return reply.headers.get(REPLAYED) == "true"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WAIT_S", 0.0)


async def test_a_repeat_at_another_region_gets_the_answer_of_the_first(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        request: dict[str, Any] = {"method": "POST", "path": "account/", "op": "create_authorisation_token"}
        before = len(await one.get("account/", op="list_authorisation_tokens"))
        first = await Client.of(one).send(**request)
        again = await Client.of(two, admin_key(one)).send(**request)
        assert (first.status, is_replayed(first), is_replayed(again)) == (200, False, True)
        assert (again.body, again.content_type) == (first.body, first.content_type)
        assert len(await one.get("account/", op="list_authorisation_tokens")) == before + 1


async def test_of_two_at_once_at_two_regions_one_runs(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as one, second_region(one) as two:
        held, other = tags_of(one), tags_of(two)
        first = asyncio.create_task(Client.of(one, tags=held).create_tag())
        await eventually(lambda: held.begun)
        second = asyncio.create_task(Client.of(two, admin_key(one), tags=other).create_tag())
        third = asyncio.create_task(Client.of(one, tags=held).create_tag())
        held.may_continue.set()
        replies = await asyncio.gather(first, second, third)
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert [is_replayed(reply) for reply in replies] == [False, True, True]
        assert (held.begun, other.begun) == (1, 0)


async def test_of_many_at_once_one_runs(rackless: Deployment) -> None:
    tags = tags_of(rackless)
    tags.may_continue.set()
    replies = await asyncio.gather(*(Client.of(rackless, tags=tags).create_tag() for _ in range(8)))
    assert {reply.status for reply in replies} == {200}
    assert (tags.begun, sum(map(is_replayed, replies))) == (1, 7)


@pytest.mark.usefixtures("impatient")
async def test_a_repeat_of_a_request_that_runs_long_is_409(rackless: Deployment) -> None:
    held = tags_of(rackless)
    first = asyncio.create_task(Client.of(rackless, tags=held).create_tag())
    await eventually(lambda: held.begun)
    again = await Client.of(rackless, tags=held).create_tag()
    assert (again.status, again.headers["Retry-After"], held.begun) == (409, "2", 1)
    held.may_continue.set()
    assert (await first).status == 200
    assert is_replayed(await Client.of(rackless, tags=held).create_tag())


async def test_a_running_request_keeps_its_lease(rackless: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RENEW_EVERY_S", 0.01)
    held = tags_of(rackless)
    first = asyncio.create_task(Client.of(rackless, tags=held).create_tag())
    await eventually(lambda: held.begun)
    await execute(components(rackless).database, OVERDUE)
    renewed = "select count(*) from idempotency_key where lease_ends_at > now() + interval '20 seconds'"
    await eventually(lambda: fetchval(components(rackless).database, renewed))
    held.may_continue.set()
    assert (await first).status == 200


@pytest.mark.usefixtures("impatient")
async def test_after_the_death_of_a_region_nothing_runs_again(rackless: Deployment) -> None:
    """As when a region stops: its requests are cancelled, and nobody moves their leases on."""
    held = tags_of(rackless)
    client = Client.of(rackless, tags=held)
    first = asyncio.create_task(client.create_tag())
    await eventually(lambda: held.begun)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await client.create_tag()).status == 409
    await execute(components(rackless).database, OVERDUE)
    unknown = await client.create_tag()
    assert (unknown.status, unknown.headers.get("Retry-After"), held.begun) == (409, None, 1)
    assert b"ended without a known result" in unknown.body
    assert b"This key gets no other answer. Read the object, the operations that the request opens, or" in unknown.body
    held.may_continue.set()
    assert (await client.create_tag(once="another")).status == 200


async def test_a_region_that_only_stalled_still_keeps_its_answer(rackless: Deployment) -> None:
    held = tags_of(rackless)
    client = Client.of(rackless, tags=held)
    first = asyncio.create_task(client.create_tag())
    await eventually(lambda: held.begun)
    await execute(components(rackless).database, OVERDUE)
    assert (await client.create_tag()).status == 409
    held.may_continue.set()
    assert (await first).status == 200
    assert is_replayed(await client.create_tag())


async def test_an_error_releases_the_key(rackless: Deployment) -> None:
    client = Client.of(rackless)
    await client.create_tag(once=None)
    taken = await client.create_tag()
    assert taken.status in {400, 409}, taken
    assert await fetchval(components(rackless).database, "select count(*) from idempotency_key") == 0
    await client.send("DELETE", "tags/fast/", once=None)
    assert (await client.create_tag()).status == 200


async def test_a_key_is_for_an_operation_or_an_answer_never_both(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    client = Client.of(innkeeper)
    compose: dict[str, Any] = {"method": "POST", "path": f"vm-hosts/{host['id']}/", "op": "compose"}
    assert (await client.create_tag(once="tag")).status == 200
    assert (await client.send(**compose, once="tag")).status == 422
    started = await client.send(**compose, once="vm", prefer="respond-async")
    assert started.status == 202
    mismatch = await client.create_tag(once="vm", form={"name": "slow"})
    assert (mismatch.status, f"operation {json_of(started)['id']}" in mismatch.body.decode()) == (422, True)
    again = await client.send(**compose, once="vm")
    assert (again.status, is_replayed(again)) == (200, True)
    assert len(await innkeeper.get("machines/")) == 1


async def test_a_repeated_removal_of_a_host_gets_its_operation(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    client = Client.of(innkeeper)
    replies = [await client.send("DELETE", f"vm-hosts/{host['id']}/") for _ in range(2)]
    assert [(reply.status, is_replayed(reply)) for reply in replies] == [(204, False), (204, True)]


async def test_a_repeated_refresh_does_not_refresh_again(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    client = Client.of(innkeeper)
    refresh: dict[str, Any] = {"op": "refresh", "prefer": "respond-async"}
    first = json_of(await client.send("POST", f"vm-hosts/{host['id']}/", **refresh))
    assert await innkeeper.ended(first["id"]) == "succeeded"
    again = await client.send("POST", f"vm-hosts/{host['id']}/", **refresh)
    assert (json_of(again)["id"], json_of(again)["state"], is_replayed(again)) == (first["id"], "succeeded", True)


async def test_each_request_that_opens_an_operation_ties_its_key_to_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    kept, gone, forgotten = [(await innkeeper.compose(host["id"]))["system_id"] for _ in range(3)]
    requests: tuple[tuple[str, str, str, str | None, dict[str, str]], ...] = (
        ("compose", "POST", f"vm-hosts/{host['id']}/", "compose", {}),
        ("allocate", "POST", "machines/", "allocate", {"system_id": kept}),
        ("power", "POST", f"machines/{kept}/", "power_on", {}),
        ("release", "POST", f"machines/{kept}/", "release", {}),
        ("refresh", "POST", f"machines/{kept}/", "commission", {}),
        ("refresh", "POST", f"vm-hosts/{host['id']}/", "refresh", {}),
        ("bulk", "POST", "machines/", "bulk", {"action": "power_on", "machines": kept}),
        ("delete", "DELETE", f"machines/{gone}/", None, {}),
        ("forget", "POST", f"machines/{forgotten}/", "forget", {}),
        ("remove_host", "DELETE", f"vm-hosts/{host['id']}/", None, {}),
    )
    client, database = Client.of(innkeeper), components(innkeeper).database
    for number, (kind, method, path, op, form) in enumerate(requests):
        reply = await client.send(method, path, op=op, form=form or None, once=f"{number}")
        assert 200 <= reply.status < 300, (kind, reply)
        assert await fetchval(database, TIED, f"{number}") == kind


async def test_a_release_or_deletion_that_joins_another_ties_its_key_too(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"]))["system_id"]
    client, database = Client.of(innkeeper), components(innkeeper).database
    await client.send("POST", "machines/", op="allocate", form={"system_id": system_id}, once=None)
    await innkeeper.stop_rack("rack")
    for kind, method, op in (("release", "POST", "release"), ("delete", "DELETE", None)):
        later = {"op": op, "prefer": "respond-async"}
        replies = [await client.send(method, f"machines/{system_id}/", once=f"{kind} {n}", **later) for n in (1, 2)]
        opened = {json_of(reply)["id"] for reply in replies}
        assert len(opened) == 1
        assert [await fetchval(database, TIED, f"{kind} {n}") for n in (1, 2)] == [kind, kind]
        await innkeeper.start_rack("rack")
        await innkeeper.ended(*opened)
        await innkeeper.stop_rack("rack")


async def test_who_lost_the_role_does_not_get_the_answer(rackless: Deployment) -> None:
    await rackless.post("users/", username="ann", email="a@b", password=PASSWORD, is_superuser=1)
    accounts = components(rackless).services.accounts
    ann = ApiKey.parse(await accounts.create_key(await accounts.user("ann"), "test"))
    client = Client.of(rackless, ann)
    assert (await client.create_tag()).status == 200
    await rackless.put("users/ann/", is_superuser=0)
    assert (await client.create_tag()).status == 403


async def test_neither_answers_nor_requests_can_be_read_in_the_database(rackless: Deployment) -> None:
    client = Client.of(rackless)
    form = {"username": "ann", "email": "a@b", "password": PASSWORD, "is_superuser": "0"}
    assert (await client.send("POST", "users/", form=form, once="user")).status == 200
    token = json_of(await client.send("POST", "racks/", op="token"))["token"]
    created = json_of(await client.send("POST", "account/", op="create_authorisation_token", once="key"))
    found = await dump(rackless)
    for secret in (PASSWORD, token, created["token_secret"]):
        for shown in (secret.encode(), base64.b64encode(secret.encode())):
            assert shown.decode() not in found
            assert shown.hex() not in found
    assert is_replayed(await client.send("POST", "racks/", op="token"))


async def test_the_digest_of_a_request_needs_the_key_of_the_installation(database: Database) -> None:
    """Who has only the table cannot compare the passwords that requests may have had."""
    credentials = Credentials(MasterKey.random())
    one = await IdempotencyKeys.open(database, credentials)
    same = await IdempotencyKeys.open(database, credentials)
    other = IdempotencyKeys(database, credentials, bytes(32))
    digests = [keys.key_of(ADMIN, "k", b"request").digest for keys in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] != hashlib.sha256(b"request").digest()


async def test_old_answers_are_deleted_and_abandoned_requests_too(rackless: Deployment) -> None:
    client, database = Client.of(rackless), components(rackless).database
    await client.create_tag(once="old")
    await execute(database, "insert into idempotency_key (account_id, key, request_hash, lease_ends_at) "
                            "select min(id), 'abandoned', '', now() from account")  # fmt: skip
    await execute(database, "update idempotency_key set created_at = now() - interval '8 days'")
    await client.create_tag(once="new", form={"name": "slow"})
    deleted = await Retention(database, RetentionPeriods(idempotency_keys=timedelta(days=7))).prune()
    assert deleted["idempotency_keys"] == 2
    assert await fetchval(database, "select string_agg(key, ' ') from idempotency_key") == "new"


async def test_an_account_has_a_bounded_number_of_answers(
    rackless: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_ANSWERS", 2)
    client = Client.of(rackless)
    for number in range(4):
        await client.create_tag(once=f"k{number}", form={"name": f"tag{number}"})
    kept = "select string_agg(key, ' ' order by key) from idempotency_key"
    assert await fetchval(components(rackless).database, kept) == "k2 k3"


async def test_answers_can_be_read_after_the_master_key_was_replaced(
    tmp_path: Path, database_url: str, database: Database
) -> None:
    settings = RegionSettings(database=database_url, state=tmp_path / "state")
    caller = await first_administrator(database)
    before = await IdempotencyKeys.open(database, Credentials(open_master_key(settings.state, {}, create=True)))
    answer = KeptAnswer(status=200, content_type="text/plain", body=b"a secret")
    key = before.key_of(caller, "k", b"request")
    await before.begin(key, opens_operation=False)
    await before.keep(key, answer)
    assert (await rewrap_secrets(settings, settings.state / "new", {})).startswith("Encrypted 2 secrets")
    after = await IdempotencyKeys.open(database, Credentials(open_master_key(settings.state, {}, create=True)))
    assert await after.begin(after.key_of(caller, "k", b"request"), opens_operation=False) == answer
