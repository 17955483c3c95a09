"""What the client of MAAS's API says of every answer and every failure."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
    LinkLost,
    MaasRefused,
    MaasUnavailable,
    NotTrusted,
    ResponseRejected,
)
from regiond.maas.access import maas_access
from regiond.maas.client import AnswerLimits, MaasClient
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import HTML, JSON, TEXT, Answer
from tests.maas_api.server import serving
from tests.maas_api.state import MAAS_4_0, Maas
from tests.support.certificate_pairs import Pair, make_pair
from tests.support.clock import advance
from tests.support.ports import free_port
from tests.support.waiting import eventually

ADMIN_TOKEN, OPERATOR_TOKEN = 1, 2


@pytest.fixture
def maas() -> Maas:
    return Maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


@pytest.fixture
def client(maas: Maas, url: str) -> MaasClient:
    return MaasClient(maas_access(url, api_key(maas, ADMIN_TOKEN)))


async def refusal(client: MaasClient, path: str = "users/", op: str | None = None) -> InnkeeperError:
    with pytest.raises(InnkeeperError) as raised:
        await client.get(path, op=op)
    return raised.value


async def test_each_call_is_signed_anew(client: MaasClient, maas: Maas) -> None:
    users = await client.get("users/")
    assert [one["username"] for one in users][:2] == ["MAAS", "anna"]
    await client.get("users/", op="whoami")
    assert len(maas.nonces) == client.calls == 2


async def test_a_call_without_signature_sends_no_key(client: MaasClient, maas: Maas) -> None:
    assert (await client.get("version/", signed=False))["version"] == "3.7.3"
    assert maas.requests[-1].authorization == ""


async def test_a_form_is_sent_as_maas_reads_it(client: MaasClient, maas: Maas) -> None:
    maas.is_read_only = False
    maas.instead["machines/"] = Answer(body=b'{"system_id": "abc"}', content_type=JSON)
    form = [("mac_addresses", "52:54:00:00:00:01"), ("mac_addresses", "52:54:00:00:00:02"), ("hostname", "ü & b")]
    assert await client.post("machines/", op="accept", form=form) == {"system_id": "abc"}
    sent = maas.requests[-1]
    assert (sent.method, sent.op) == ("POST", "accept")
    assert sent.form == {"mac_addresses": ["52:54:00:00:00:01", "52:54:00:00:00:02"], "hostname": ["ü & b"]}
    maas.instead["machines/abc/"] = Answer(status=204)
    await client.delete("machines/abc/")
    assert await client.put("machines/abc/", form=[("power_type", "webhook")]) is None
    assert [one.method for one in maas.changes] == ["POST", "DELETE", "PUT"]


async def test_another_key_is_refused_with_where_to_find_one(maas: Maas, url: str) -> None:
    for key, said in (("a:b:c", "Invalid API key"), (f"{api_key(maas, ADMIN_TOKEN)}x", "Invalid signature")):
        error = await refusal(MaasClient(maas_access(url, key)))
        assert isinstance(error, MaasRefused)
        assert error.details["reason"] == "key"
        assert said in error.message
        assert "page 'API keys'" in error.message
        assert key not in error.message


async def test_a_wrong_clock_is_named(client: MaasClient, maas: Maas) -> None:
    maas.instead["users/"] = Answer(status=401, body=b"Authorization Error: 'Expired timestamp: given 1 and now 9'")
    assert "The clock of the region's computer or of MAAS is wrong" in (await refusal(client)).message


async def test_a_key_of_no_administrator_says_whose_is_needed(maas: Maas, url: str) -> None:
    error = await refusal(MaasClient(maas_access(url, api_key(maas, OPERATOR_TOKEN))), "vm-hosts/1/", "parameters")
    assert isinstance(error, MaasRefused)
    assert error.details["reason"] == "rights"
    assert "This method is reserved for admin users" in error.message
    assert "API key of an administrator" in error.message


async def test_a_maas_without_vm_hosts_points_to_the_dump(client: MaasClient, maas: Maas) -> None:
    maas.release = MAAS_4_0
    error = await refusal(client, "vm-hosts/")
    assert isinstance(error, MaasRefused)
    assert error.details["reason"] == "gone"
    assert "innkeeper import maas --dump FILE" in error.message


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=404, body=b"<html>nginx secret-page</html>", content_type=HTML), "There is no MAAS at this"),
        (Answer(status=200, body=b"<html>secret-page</html>", content_type=HTML), "text/html instead of JSON"),
        (Answer(status=200, body=b"ok"), "text/plain instead of JSON"),
    ],
)
async def test_another_server_is_told_from_a_maas(client: MaasClient, maas: Maas, answer: Answer, message: str) -> None:
    maas.instead["users/"] = answer
    error = await refusal(client)
    assert isinstance(error, MaasRefused)
    assert error.details["reason"] == "not_maas"
    assert message in error.message
    assert "ends in /MAAS" in error.message
    assert "secret-page" not in error.message


async def test_a_redirect_is_named_and_not_followed(client: MaasClient, maas: Maas) -> None:
    maas.instead["users/"] = Answer(status=302, headers={"Location": "https://other.test/MAAS/"})
    error = await refusal(client)
    assert error.details["reason"] == "redirect"
    assert "It refers to https://other.test/MAAS/: give that address." in error.message
    assert client.calls == len(maas.requests) == 1


async def test_an_unknown_object_is_no_missing_maas(client: MaasClient) -> None:
    error = await refusal(client, "vm-hosts/99/")
    assert (error.details["reason"], error.details["status"]) == ("missing", 404)
    assert "No Pod matches the given query" in error.message


async def test_rejected_values_have_their_fields(client: MaasClient, maas: Maas) -> None:
    body = b'{"hostname": ["Node with hostname already exists."], "__all__": "no"}'
    maas.instead["machines/"] = Answer(status=400, body=body, content_type=JSON)
    error = await refusal(client, "machines/")
    assert error.details["fields"] == {"hostname": ["Node with hostname already exists."], "__all__": ["no"]}
    assert "hostname: Node with hostname already exists." in error.message
    maas.instead["machines/"] = Answer(status=400, body=b"Unrecognised signature", content_type=TEXT)
    assert "Unrecognised signature" in (await refusal(client, "machines/")).message
    assert "op=nothing" in (await refusal(client, "users/", "nothing")).message


@pytest.mark.parametrize(("status", "retry_after_s"), [(503, 10), (409, 5), (500, None), (502, None), (504, None)])
async def test_a_maas_that_cannot_now_may_be_asked_again(
    client: MaasClient, maas: Maas, status: int, retry_after_s: int | None
) -> None:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    maas.instead["users/"] = Answer(status=status, body=b"The database is busy.", headers=headers)
    error = await refusal(client)
    assert isinstance(error, MaasUnavailable)
    assert error.retryable
    assert error.details == {"status": status, "retry_after_s": retry_after_s}
    assert "The database is busy" in error.message


async def test_broken_json_is_rejected(client: MaasClient, maas: Maas) -> None:
    for body in (b'[{"username": ', b"[NaN]", b"[1e999]"):
        maas.instead["users/"] = Answer(body=body, content_type=JSON)
        error = await refusal(client)
        assert isinstance(error, ResponseRejected)
        assert f"{len(body)} bytes that are no JSON" in error.message


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"[" + b"{}," * 200_000 + b"{}]", "about 400003 values; the limit is 100000"),
        (b"[" * 90_000 + b"]" * 90_000, "more than 100 levels of lists and objects"),
    ],
)
async def test_json_of_more_than_maas_has_is_rejected(client: MaasClient, maas: Maas, body: bytes, what: str) -> None:
    maas.instead["users/"] = Answer(body=body, content_type=JSON)
    error = await refusal(client)
    assert isinstance(error, ResponseRejected)
    assert f"answered GET users/ with {what}, which is more than such an answer has." in error.message


async def test_an_answer_is_read_up_to_its_limit(maas: Maas, url: str) -> None:
    client = MaasClient(maas_access(url, api_key(maas, ADMIN_TOKEN)), limits=AnswerLimits(max_bytes=1000))
    maas.instead["users/"] = Answer(body=b"[" + b" " * 998 + b"]", content_type=JSON)
    assert await client.get("users/") == []
    maas.instead["users/"] = Answer(body=b"[" + b" " * 999 + b"]", content_type=JSON)
    error = await refusal(client)
    assert isinstance(error, ResponseRejected)
    assert "more than 1000 bytes" in error.message


async def test_a_silent_maas_ends_at_the_deadline(client: MaasClient, maas: Maas) -> None:
    maas.hold = threading.Event()
    call = asyncio.ensure_future(client.get("users/"))
    await eventually(lambda: maas.at_once == 1)
    await advance(121)
    with pytest.raises(DeadlineExceeded, match=r"did not answer GET users/ within 120 s\. Look there"):
        await call


async def test_three_calls_run_at_once_and_the_others_wait(client: MaasClient, maas: Maas) -> None:
    maas.hold = threading.Event()
    calls = asyncio.gather(*(client.get("zones/") for _ in range(9)))
    await eventually(lambda: maas.at_once == 3)
    maas.hold.set()
    assert len(await calls) == 9
    assert maas.most_at_once == 3


async def test_a_refused_connection_names_host_and_port() -> None:
    port = free_port()
    error = await refusal(MaasClient(maas_access(f"http://127.0.0.1:{port}/MAAS", "a:b:c")))
    assert isinstance(error, MaasUnavailable)
    assert f"MAAS at 127.0.0.1:{port}: the connection is refused" in error.message
    assert "5240" in error.message


async def test_an_unknown_name_is_said() -> None:
    error = await refusal(MaasClient(maas_access("http://maas.invalid/MAAS", "a:b:c")))
    assert isinstance(error, MaasUnavailable)
    assert "The name maas.invalid of the MAAS does not resolve" in error.message


async def test_a_cut_connection_says_whether_a_change_may_have_happened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_cut, args=(listener, 2))
        thread.start()
        client = MaasClient(maas_access(f"http://127.0.0.1:{listener.getsockname()[1]}/MAAS", "a:b:c"))
        error = await refusal(client)
        assert isinstance(error, LinkLost)
        assert "carried out" not in error.message
        with pytest.raises(LinkLost, match="It may have been carried out"):
            await client.post("machines/")
        thread.join()


def _cut(listener: socket.socket, times: int) -> None:
    for _ in range(times):
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.close()


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_maas_that_stalls_within_its_answer_keeps_no_connection(
    pair: Pair, tmp_path: Path, *, is_encrypted: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()
        files = pair.write(tmp_path / "tls") if is_encrypted else None
        thread = threading.Thread(target=_answer, args=(listener, files, b"Content-Length: 100\r\n\r\n[", ended))
        thread.start()
        url = f"{'https' if is_encrypted else 'http'}://127.0.0.1:{listener.getsockname()[1]}/MAAS"
        trust = pair.certificate_pem.decode() if is_encrypted else ""
        client = MaasClient(maas_access(url, "a:b:c", authority_pem=trust), deadline_s=1.0)
        assert isinstance(await refusal(client), DeadlineExceeded)
        await eventually(ended.is_set)
        thread.join()


async def test_a_maas_that_does_not_end_tls_keeps_no_connection(pair: Pair, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()
        whole = b"Content-Length: 2\r\n\r\n[]"
        thread = threading.Thread(target=_answer, args=(listener, pair.write(tmp_path / "tls"), whole, ended))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/MAAS"
        access = maas_access(url, "a:b:c", authority_pem=pair.certificate_pem.decode())
        assert await MaasClient(access).get("zones/") == []
        await eventually(ended.is_set)
        thread.join()


def _answer(listener: socket.socket, files: tuple[Path, Path] | None, answer: bytes, ended: threading.Event) -> None:
    """Sends an answer or its beginning, and tells when the client has ended the connection."""
    connection, _ = listener.accept()
    with suppress(OSError):  # a client whose deadline is short may have gone before it is answered
        if files is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*files)
            connection = context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + answer)
        with socket.socket(fileno=connection.detach()) as lower:  # answers no close of TLS either
            while lower.recv(65536):
                pass
    connection.close()
    ended.set()


@pytest.fixture
def pair() -> Pair:
    return make_pair()


@pytest.fixture
def https_url(maas: Maas, pair: Pair, tmp_path: Path) -> Iterator[str]:
    with serving(maas, pair.write(tmp_path / "tls")) as found:
        yield found


async def test_a_certificate_of_an_unknown_authority_gets_no_key(maas: Maas, https_url: str) -> None:
    error = await refusal(MaasClient(maas_access(https_url, api_key(maas, ADMIN_TOKEN))))
    assert isinstance(error, NotTrusted)
    assert "is not signed by an authority that this computer trusts" in error.message
    assert "fingerprint" in error.message
    assert maas.requests == []


async def test_a_certificate_is_accepted_by_authority_and_by_fingerprint(
    maas: Maas, https_url: str, pair: Pair
) -> None:
    key = api_key(maas, ADMIN_TOKEN)
    for values in ({"authority_pem": pair.certificate_pem.decode()}, {"fingerprint": pair.fingerprint}):
        assert await MaasClient(maas_access(https_url, key, **values)).get("zones/")


async def test_another_certificate_than_the_pinned_one_gets_no_key(maas: Maas, https_url: str, pair: Pair) -> None:
    wanted = make_pair().fingerprint
    error = await refusal(MaasClient(maas_access(https_url, api_key(maas, ADMIN_TOKEN), fingerprint=wanted)))
    assert isinstance(error, NotTrusted)
    assert f"presents the certificate {pair.fingerprint}, but {wanted} was pinned" in error.message
    assert maas.requests == []


async def test_https_and_http_are_not_confused(maas: Maas, url: str, https_url: str) -> None:
    key = api_key(maas, ADMIN_TOKEN)
    plain = await refusal(MaasClient(maas_access(url.replace("http:", "https:"), key)))
    assert f"does not speak TLS. If MAAS serves plain HTTP, use {url}" in plain.message
    encrypted = await refusal(MaasClient(maas_access(https_url.replace("https:", "http:"), key)))
    assert isinstance(encrypted, MaasUnavailable | LinkLost)
    assert maas.requests == []
