"""The API on a real socket: headers, redirects, disconnecting clients."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import oauthlib.oauth1
import pytest

from common.errors import DatabaseUnavailable
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.description.describe import description_hash
from regiond.api.http.klein_adapter import REFUSAL_DELAY_S
from regiond.api.pipeline.dispatch import Api
from regiond.api.replies import Reply
from regiond.api.resources.registry import SERVED
from regiond.process.health import Health, Part
from regiond.requests.request_limits import RequestLimits, RequestRates
from tests.integration.support.api_over_http import BASE, Client, HeldCall, Response, serve
from tests.support.waiting import eventually, settle
from tests.unit.answers.accounts import ADMIN_KEY, SIGNING_KEY
from tests.unit.support.api_double import NOW_S, ApiDouble, authorization
from tests.unit.support.machine_samples import OPERATION, RUNNING


@pytest.fixture
def client() -> Iterator[Client]:
    served = serve(ApiDouble())
    yield served
    settle(served.stop())


async def test_every_response_has_a_content_type(client: Client) -> None:
    response = await client.request("DELETE", f"{BASE}vm-hosts/4/")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-maas-api-hash"] == description_hash(SERVED)
    assert response.headers["vary"] == "Authorization, Accept-Encoding"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"]


async def test_the_description_is_plain_json_with_the_request_origin(client: Client) -> None:
    response = await client.request("GET", f"{BASE}describe/", signed=False, X_Forwarded_Proto="https")
    assert response.headers["content-type"] == "application/json"
    found = json.loads(response.body)
    assert found["hash"] == response.headers["x-maas-api-hash"]
    assert all(one["uri"].startswith("https://region:5240/MAAS/api/2.0/") for one in found["handlers"])


async def test_only_a_get_is_redirected_to_the_final_slash(client: Client) -> None:
    response = await client.request("GET", f"{BASE}vm-hosts?op=&x=1")
    assert (response.status, response.headers["location"]) == (301, f"{BASE}vm-hosts/?op=&x=1")
    response = await client.request("POST", f"{BASE}vm-hosts/4?op=refresh")
    assert response.status == 200


async def test_a_redirect_never_leads_to_another_host(client: Client) -> None:
    response = await client.request("GET", f"/{BASE}vm-hosts")
    assert (response.status, response.headers["location"]) == (301, f"{BASE}vm-hosts/")


async def test_runs_of_slashes_in_a_path_are_one_slash(client: Client) -> None:
    for path in ("vm-hosts//4/", "/vm-hosts///4//"):
        assert json.loads((await client.request("GET", BASE + path)).body)["id"] == 4
    assert (await client.request("POST", f"{BASE}vm-hosts//4/?op=refresh")).status == 200
    assert (await client.request("GET", "//healthz//live", signed=False)).body == b"live"


async def test_slashes_of_a_query_are_kept(client: Client) -> None:
    response = await client.request("GET", f"{BASE}/vm-hosts?op=&x=a//b")
    assert (response.status, response.headers["location"]) == (301, f"{BASE}vm-hosts/?op=&x=a//b")


async def test_the_final_slash_is_optional_for_vms_and_clusters(client: Client) -> None:
    for path in ("virtual-machines/17", "virtual-machines/17/", "vm-clusters/1", "vm-clusters/1/"):
        assert (await client.request("GET", BASE + path)).status == 200
    for path in ("virtual-machines/99", "vm-clusters/2", "vm-clusters/2/"):
        assert (await client.request("GET", BASE + path)).status == 404


async def test_an_op_may_be_in_the_path(client: Client) -> None:
    response = await client.request("GET", f"{BASE}vm-hosts/4/op-parameters")
    assert json.loads(response.body)["power_address"] == "qemu:///system"
    assert (await client.request("GET", f"{BASE}users/op-whoami")).status == 200


async def test_a_name_that_begins_like_an_op_is_a_name(client: Client) -> None:
    for path, name in (
        ("machines/op-web-1/", "op-web-1"),
        ("machines/op-web-1/op-details", "op-web-1"),
        ("machines/op-allocate/", "op-allocate"),  # only a POST allocates
    ):
        response = await client.request("GET", BASE + path)
        assert (response.status, response.body.decode()) == (404, f"There is no machine '{name}'.")
    response = await client.request("GET", f"{BASE}machines/op-web-1")
    assert (response.status, response.headers["location"]) == (301, f"{BASE}machines/op-web-1/")
    assert (await client.request("HEAD", f"{BASE}machines/op-web-1/")).status == 404
    assert (await client.request("POST", f"{BASE}machines/op-web-1/?op=lock")).status == 404


@pytest.mark.parametrize(("path", "op"), [("machines/op-release", "release"), ("vm-hosts/op-compose/", "compose")])
@pytest.mark.parametrize("kind", ["query", "form", "multipart"])
async def test_a_path_with_an_op_of_its_own_names_an_object(client: Client, path: str, op: str, kind: str) -> None:
    body = {
        "query": b"",
        "form": f"comment=x&op={op}".encode(),
        "multipart": f'--b\r\nContent-Disposition: form-data; name="op"\r\n\r\n{op}\r\n--b--\r\n'.encode(),
    }[kind]
    headers: dict[str, Any] = {"content_type": "multipart/form-data; boundary=b"} if kind == "multipart" else {}
    query = f"?op={op}" if kind == "query" else ""
    response = await client.request("POST", BASE + path + query, body=body, **headers)
    assert (response.status, f"'op-{op}'" in response.body.decode()) == (404, True)


async def test_an_op_in_the_path_is_of_the_collection_if_there_is_no_other(client: Client) -> None:
    for query, body in (("", b""), ("?op=", b"comment=x"), ("?op=%ff", b"comment=%ff")):
        await client.request("POST", f"{BASE}machines/op-release{query}", body=body)
    done = [call.name for call in client.api.calls if call.name.startswith("releases.")]
    assert done


async def test_an_unknown_op_in_the_path_is_named(client: Client) -> None:
    response = await client.request("POST", f"{BASE}vm-hosts/4/op-jump")
    assert (response.status, response.body) == (400, b"Unrecognised signature: method=POST op=jump")


async def test_head_is_a_get_without_its_body(client: Client) -> None:
    full = await client.request("GET", f"{BASE}zones/")
    response = await client.request("HEAD", f"{BASE}zones/")
    assert (response.status, response.body) == (200, b"")
    assert response.headers["content-length"] == str(len(full.body))


async def test_unknown_paths_and_methods_answer_plain_text(client: Client) -> None:
    response = await client.request("GET", f"{BASE}nothing/")
    assert (response.status, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert response.body == b"Unknown API endpoint: /MAAS/api/2.0/nothing/"
    assert (await client.request("GET", "/nothing/")).body == b"Not Found"
    response = await client.request("PATCH", f"{BASE}vm-hosts/")
    assert (response.status, response.headers["allow"]) == (405, "GET, POST")
    assert (await client.request("GET", "/MAAS/api/1.0/nodes/")).status == 410
    assert (await client.request("GET", "/MAAS/api/version/", signed=False)).body == b"2.0"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_signature_with_hmac_covers_the_url_that_the_client_used(client: Client, scheme: str) -> None:
    signing = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)),
    )  # fmt: skip
    form, target = "name=east+west&padding=" + "x" * 20_000, f"{BASE}zones//?op="
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _, headers, _ = signing.sign(f"{scheme}://maas.example{target}", http_method="POST", headers=kind, body=form)

    async def send(*, host: str) -> Response:
        return await client.request(
            "POST", target, body=form.encode(), signed=False, host=host, X_Forwarded_Proto=scheme,
            Content_Type=headers["Content-Type"], Authorization=headers["Authorization"],
        )  # fmt: skip

    assert (await send(host="elsewhere.example")).status == 401
    assert (await send(host="maas.example")).status == 200
    assert len([call for call in client.api.calls if call.name == "groups.create_zone"]) == 1


async def test_a_request_without_a_signature_is_unauthorised(client: Client) -> None:
    response = await client.request("GET", f"{BASE}vm-hosts/", signed=False)
    assert (response.status, response.body) == (401, b"Forbidden")
    assert response.headers["www-authenticate"] == 'OAuth realm="OAuth"'


async def test_a_bug_answers_the_request_id_without_a_traceback(client: Client) -> None:
    client.api.answers["groups.zones"] = RuntimeError("the secret inside")
    response = await client.request("GET", f"{BASE}zones/", X_Request_Id="abc-1")
    assert response.status == 500
    assert b"abc-1" in response.body
    assert b"secret" not in response.body
    assert response.headers["x-request-id"] == "abc-1"


async def test_a_bug_in_the_listener_itself_answers_changes_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change runs to its end in a task of its own; without an answer its client would wait for ever."""

    async def broken(*_: object, **__: object) -> Reply:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(Api, "answer", broken)
    for method in ("GET", "POST"):
        async with asyncio.timeout(30):
            response = await client.request(method, f"{BASE}zones/")
        assert response.status == 500
        assert b"secret" not in response.body


async def test_an_unavailable_database_answers_503_with_retry_after(client: Client) -> None:
    client.api.answers["accounts.authenticate"] = DatabaseUnavailable("The database cannot be reached.")
    response = await client.request("GET", f"{BASE}zones/")
    assert (response.status, response.headers["retry-after"]) == (503, "5")


async def test_health_pages_need_no_key_and_show_the_reason(client: Client) -> None:
    async def database_lost() -> Health:
        lost = Part(name="database", problem="The database cannot be reached.", is_required=True)
        return Health((lost, Part(name="racks", problem=None, is_required=False)))

    assert (await client.request("GET", "/healthz/ready", signed=False)).status == 200
    lost = serve(ApiDouble(info=SiteInfo(health=database_lost)))
    live, ready, details = [
        await lost.request("GET", f"/healthz/{page}", signed=False) for page in ("live", "ready", "details")
    ]
    await lost.stop()
    assert (live.status, live.body) == (200, b"live")
    assert (ready.status, ready.body) == (503, b"not ready: The database cannot be reached.")
    assert (details.status, json.loads(details.body)) == (
        503,
        {
            "status": "not ready",
            "parts": {
                "database": {"status": "failed", "reason": "The database cannot be reached."},
                "racks": {"status": "ok"},
            },
        },
    )


async def _disconnect_during(client: Client, method: str, path: str, running: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(client.encode(method, path, body=b"", signed=True, host="h"))
    await running.wait()
    writer.close()
    await writer.wait_closed()
    del reader


async def test_a_disconnecting_client_cancels_its_read(client: Client) -> None:
    held = client.api.answers["groups.zones"] = HeldCall(())
    await _disconnect_during(client, "GET", f"{BASE}zones/", held.started)
    await eventually(lambda: held.ended == "cancelled")


async def test_a_disconnecting_client_does_not_cancel_its_change(client: Client) -> None:
    held = client.api.answers["hosts.start_refresh"] = HeldCall(OPERATION)
    await _disconnect_during(client, "POST", f"{BASE}vm-hosts/4/?op=refresh", held.started)
    held.proceed.set()
    await eventually(lambda: held.ended == "finished")


@pytest.mark.parametrize(("headers", "retry_after"), [({}, None), ({"Idempotency_Key": "k"}, "5")])
async def test_closing_cancels_waiting_requests_with_503(
    client: Client, headers: dict[str, Any], retry_after: str | None
) -> None:
    held = HeldCall(OPERATION)
    client.api.answers.update({"hosts.start_refresh": RUNNING, "operations.wait": held})
    pending = asyncio.ensure_future(client.request("POST", f"{BASE}vm-hosts/4/?op=refresh", **headers))
    await held.started.wait()
    await client.stop()
    response = await pending
    assert (response.status, response.headers.get("retry-after")) == (503, retry_after)
    assert held.ended == "cancelled"


async def test_a_used_nonce_is_rejected(client: Client) -> None:
    signature = authorization(ADMIN_KEY, nonce="once", timestamp_s=NOW_S)
    first = await client.request("GET", f"{BASE}zones/", signed=False, Authorization=signature)
    again = await client.request("GET", f"{BASE}zones/", signed=False, Authorization=signature)
    assert (first.status, again.status) == (200, 401)
    assert again.body.startswith(b"Authorization Error: 'Nonce already used")


async def test_paths_without_a_route_count_as_requests_of_strangers() -> None:
    limits = RequestLimits(RequestRates(anonymous_requests_per_s=1), clock=lambda: 0.0)
    served = serve(ApiDouble(), limits=limits)
    statuses = [(await served.request("GET", "/nothing/here", signed=False)).status for _ in range(12)]
    await served.stop()
    assert statuses == [404] * 10 + [429] * 2


async def test_the_answers_of_a_sender_beyond_its_limits_are_late() -> None:
    limits = RequestLimits(RequestRates(anonymous_requests_per_s=1), clock=lambda: 0.0)
    served = serve(ApiDouble(), limits=limits)
    for _ in range(10):
        await served.request("GET", f"{BASE}version/", signed=False)
    before = time.monotonic()
    assert (await served.request("GET", f"{BASE}version/", signed=False)).status == 429
    assert time.monotonic() - before >= REFUSAL_DELAY_S
    await served.stop()
