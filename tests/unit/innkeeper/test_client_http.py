"""The HTTP client: addresses, responses, connection errors; stored profiles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import (
    BadSettings,
    DeadlineExceeded,
    InnkeeperError,
    InvalidRequest,
    LinkLost,
    NotFound,
    RequestInProgress,
    ResponseRejected,
)
from innkeeper.answer import Answer, raise_error
from innkeeper.http import Api, api_url, relative_path
from innkeeper.profiles import Profile, Profiles, check_name, default_path
from innkeeper.request_body import Body
from tests.doubles.hostile_server import CHUNKED, endless_server

KEY = "consumer:token:secret"


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("http://host:5240", "http://host:5240/MAAS/api/2.0/"),
        ("http://host:5240/", "http://host:5240/MAAS/api/2.0/"),
        ("http://host:5240/MAAS", "http://host:5240/MAAS/api/2.0/"),
        ("https://host/MAAS/api/2.0/", "https://host/MAAS/api/2.0/"),
        ("http://[::1]:5240/MAAS/", "http://[::1]:5240/MAAS/api/2.0/"),
        ("http://höhle/ü", "http://xn--hhle-5qa/%C3%BC/MAAS/api/2.0/"),
        ("https://proxy/innkeeper/MAAS/", "https://proxy/innkeeper/MAAS/api/2.0/"),
    ],
)
def test_region_addresses_are_accepted_in_several_forms(typed: str, base: str) -> None:
    assert api_url(typed) == base
    assert api_url(base) == base


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "host",
        "host:5240",
        "ftp://host",
        "http://",
        "http://h:x",
        "http://h:0",
        "http://[::1",
        "http://u@h",
        "http://a..b",
        "http://a_b",
    ],
)
def test_invalid_region_addresses_are_rejected(typed: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid region address"):
        api_url(typed)


def test_a_location_becomes_relative_to_the_base() -> None:
    for url in ("/MAAS/api/2.0/operations/7/", "http://elsewhere/x/MAAS/api/2.0/operations/7/", "operations/7/"):
        assert relative_path(url) == "operations/7/"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=60)), max_size=4))
def test_a_multipart_body_preserves_every_byte(fields: list[tuple[str, bytes]]) -> None:
    data, kind = Body(fields=[*fields, ("end", b"\xff")]).encoded()
    message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data)
    names = [part.get_param("name", header="content-disposition") for part in message.walk()][1:]
    assert names == [*(name for name, _ in fields), "end"]
    assert all(value in data for _, value in fields)


def test_a_body_of_text_is_urlencoded() -> None:
    assert Body(fields=[("a", "1"), ("a", "ä &")]).encoded() == (
        b"a=1&a=%C3%A4+%26",
        "application/x-www-form-urlencoded",
    )


def test_an_error_has_its_class_status_and_fields() -> None:
    with pytest.raises(InvalidRequest) as caught:
        raise_error(Answer(status=400, body=b'{"cores": ["Bad."]}', content_type="application/json; charset=utf-8"))
    assert caught.value.fields == {"cores": ["Bad."]}
    assert caught.value.details["status"] == 400
    with pytest.raises(NotFound, match=r"^Not Found$"):
        raise_error(Answer(status=404, body=b"Not Found\n", content_type="text/plain"))
    with pytest.raises(InnkeeperError, match="status 500 and a web page"):
        raise_error(Answer(status=500, body=b"<html>", content_type="text/html"))
    with pytest.raises(RequestInProgress, match="still runs"):
        raise_error(Answer(status=409, body=b"It still runs.", retry_after_s=2))
    with pytest.raises(InnkeeperError, match="status 500 and no message"):
        raise_error(Answer(status=500, body=b""))
    with pytest.raises(InnkeeperError, match="redirects to http://b/"):
        raise_error(Answer(status=301, body=b"", location="http://b/"))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_answer_of_a_proxy_is_a_lost_answer_of_the_region(status: int) -> None:
    with pytest.raises(LinkLost, match=rf"status {status} \(no upstream\): the region did not answer"):
        raise_error(Answer(status=status, body=b"no upstream\n", content_type="text/plain"))
    with pytest.raises(LinkLost, match=f"status {status}: the region"):
        raise_error(Answer(status=status, body=b"<html>", content_type="text/html"))
    with pytest.raises(InnkeeperError, match=r"^no host has room$") as caught:
        raise_error(Answer(status=status, body=b"no host has room", content_type="text/plain", description_hash="x"))
    assert caught.value.details["status"] == status


@pytest.mark.parametrize("key", ["a", "a:b", "a:b:c:d", "a::c"])
def test_a_key_has_three_parts(key: str) -> None:
    with pytest.raises(InvalidRequest, match="three parts"):
        Api("http://h/MAAS/api/2.0/", key)


@asynccontextmanager
async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Yields HOST:PORT of a server that handles each connection with `handler`."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_silent_and_disconnecting_servers_raise_errors() -> None:
    hang_up = asyncio.Event()
    connected = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await hang_up.wait()
        writer.close()

    async with serving(mute) as address:
        with pytest.raises(DeadlineExceeded, match=address):
            await Api(api_url(f"http://{address}"), KEY).get("version/", deadline_s=0.2)
        hang_up.set()
    hang_up.clear()
    connected.clear()
    async with serving(mute) as address:
        waiting = asyncio.ensure_future(Api(api_url(f"http://{address}"), KEY).get("version/"))
        await connected.wait()
        hang_up.set()
        with pytest.raises(LinkLost, match="lost before the response"):
            await waiting


async def test_a_server_of_another_protocol_is_named() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"SSH-2.0-x\r\n")
        writer.close()

    async with serving(greet) as address:
        with pytest.raises(InnkeeperError, match=f"does not speak HTTP.* use https://{address}/"):
            await Api(api_url(f"http://{address}"), KEY).get("version/")
        with pytest.raises(InnkeeperError, match=f"does not speak TLS.* use http://{address}/") as caught:
            await Api(api_url(f"https://{address}"), KEY).get("version/")
        assert not isinstance(caught.value, LinkLost)  # the request was not sent


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    ],
)
@pytest.mark.parametrize("body", [b"", b"x" * 3_000_000], ids=["no body", "a large body"])
async def test_a_lost_connection_raises_link_lost_at_any_point(sent: bytes, body: bytes) -> None:
    async def disconnect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(sent)
        await writer.drain()
        writer.transport.abort()

    async with serving(disconnect) as address:
        with pytest.raises(LinkLost):
            await Api(api_url(f"http://{address}"), KEY).send(
                "POST", "vm-hosts/", body=Body(fields=[("a", body)]), deadline_s=20.0
            )


async def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    async def http_1_0(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nwhole")
        writer.close()

    async with serving(http_1_0) as address:
        assert (await Api(api_url(f"http://{address}"), KEY).get("version/")).text == "whole"


def profile(name: str) -> Profile:
    return Profile(name=name, url="http://h/MAAS/api/2.0/", key=KEY, description={"hash": "x"})


def test_profiles_are_stored_and_removed(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "deep" / "profiles.json")
    assert profiles.all() == {}
    profiles.put(profile("a"))
    profiles.put(profile("b"))
    assert profiles.get("a") == profile("a")
    profiles.remove("a")
    assert set(profiles.all()) == {"b"}
    assert profiles.path.stat().st_mode & 0o777 == 0o600
    assert profiles.path.parent.stat().st_mode & 0o777 == 0o700
    assert KEY not in repr(profile("a"))


def test_concurrent_logins_lose_nothing(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: Profiles(tmp_path / "profiles.json").put(profile(name)), names))
    assert set(Profiles(tmp_path / "profiles.json").all()) == set(names)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_default_profile_is_the_only_one_or_admin(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path / "profiles.json")
    profiles.put(profile("site"))
    assert profiles.chosen(None).name == "site"
    profiles.put(profile("other"))
    with pytest.raises(NotFound, match="--profile: other, site"):
        profiles.chosen(None)
    profiles.put(profile("admin"))
    assert profiles.chosen(None).name == "admin"
    assert profiles.chosen("other").name == "other"


@pytest.mark.parametrize("content", ["", "[]", '{"profiles": {"a": {}}}', '{"profiles": 3}'])
def test_a_damaged_file_is_reported_and_not_changed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "profiles.json"
    path.write_text(content)
    with pytest.raises(BadSettings, match="is damaged"):
        Profiles(path).put(profile("a"))
    assert path.read_text() == content


@pytest.mark.parametrize("name", ["", "login", "rack", "-x", "a b", "a/b", "ä", "help"])
def test_a_profile_name_is_a_word_that_is_not_a_command(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_name(name)


def test_the_profiles_file_is_in_the_xdg_config_folder() -> None:
    assert default_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/innkeeper/profiles.json")
    assert default_path({"HOME": "/h"}) == Path("/h/.config/innkeeper/profiles.json")


async def test_a_stream_of_small_parts_has_no_end() -> None:
    received = 0

    def take(data: bytes) -> None:
        nonlocal received
        received += len(data)
        if received > 200_000:  # and six times as many bytes that separate them
            raise _Enough

    with endless_server(CHUNKED, "1\r\n \r\n") as port:
        api = Api(api_url(f"http://127.0.0.1:{port}"), KEY)
        with pytest.raises(_Enough):
            await api.stream("events/", take, headers={}, silence_s=60.0)
        with pytest.raises(ResponseRejected, match="headers or frames of more than 262144 bytes"):
            await api.get("events/")


class _Enough(Exception):
    pass
