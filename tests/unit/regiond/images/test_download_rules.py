"""From which addresses the region downloads images, and where a server may redirect it to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from attrs import frozen

from common.addresses.ip_networks import IpNetworks
from regiond.images.download_rules import DownloadRules, Reach, reach_of
from regiond.images.downloads.http_download import HttpSource, SourceFailed

NOWHERE = (
    "127.0.0.1", "::1", "0.0.0.0", "0.1.2.3",  # noqa: S104  # not bound
    "::", "169.254.169.254", "fe80::1", "fe80::1%lo", "224.0.0.1", "ff02::1",
    "255.255.255.255", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
    "::ffff:169.254.169.254", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
    "64:ff9b::6464:64c8", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1:7f00:1::", "2002:a9fe:a9fe::1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:5601:5601",
)  # fmt: skip
PRIVATE = (
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "fec0::1", "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
)  # fmt: skip
PUBLIC = ("9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909")


@pytest.mark.parametrize(
    ("addresses", "reach"), [(NOWHERE, Reach.NOWHERE), (PRIVATE, Reach.PRIVATE), (PUBLIC, Reach.PUBLIC)]
)
def test_each_address_has_its_reach(addresses: tuple[str, ...], reach: Reach) -> None:
    assert {address: reach_of(address) for address in addresses} == dict.fromkeys(addresses, reach)


def test_only_the_internet_may_not_redirect_into_a_private_network() -> None:
    rules = DownloadRules()
    for source in (None, Reach.PRIVATE, Reach.PUBLIC):
        assert all(rules.permits(one, chosen_by=source) for one in PUBLIC)
        assert not any(rules.permits(one, chosen_by=source) for one in NOWHERE)
        assert all(rules.permits(one, chosen_by=source) is (source is not Reach.PUBLIC) for one in PRIVATE)
    lenient = DownloadRules(allowed=IpNetworks.parse(["10.0.0.0/8", "127.0.0.1"]))
    assert lenient.permits("10.0.0.1", chosen_by=Reach.PUBLIC)
    assert lenient.permits("127.0.0.1", chosen_by=None)
    assert not lenient.permits("172.16.0.1", chosen_by=Reach.PUBLIC)


def of(addresses: Iterable[str]) -> Callable[..., list[Any]]:
    """A lookup that finds the next of these each time, whatever the name."""
    left = iter(addresses)
    return lambda host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(left), port))]


@frozen(kw_only=True)
class LoopbackNetworks(DownloadRules):
    """Addresses of this computer stand for those of other networks."""

    def reach(self, address: str) -> Reach:
        return {"127.0.0.1": Reach.PUBLIC, "127.0.0.2": Reach.PRIVATE, "127.0.0.3": Reach.PRIVATE}[address]


class Redirects(BaseHTTPRequestHandler):
    """`/to/HOST/…` redirects to the rest of the path on that host; everything else is a file."""

    def do_GET(self) -> None:  # the library's name
        _, word, *rest = self.path.split("/", 3)
        if word == "to":
            self.send_response(302)
            assert isinstance(self.server, HTTPServer)
            self.send_header("Location", f"http://{rest[0]}:{self.server.server_port}/{rest[1]}")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"disk")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("0.0.0.0", 0), Redirects)  # noqa: S104  # several addresses of this computer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(source: HttpSource, url: str) -> bytes:
    file = source.open(url)
    try:
        return file.read()
    finally:
        file.close()


@pytest.mark.parametrize("path", ["127.0.0.1", "127.0.0.2", "127.0.0.2/to/127.0.0.3", "127.0.0.2/to/127.0.0.1"])
def test_redirects_within_their_network_are_followed(port: int, path: str) -> None:
    host, _, rest = path.partition("/")
    assert fetched(HttpSource(LoopbackNetworks()), f"http://{host}:{port}/{rest or 'x'}/file") == b"disk"


@pytest.mark.parametrize("path", ["127.0.0.1/to/127.0.0.2", "127.0.0.2/to/127.0.0.1/to/127.0.0.2"])
def test_a_redirect_from_the_internet_ends_at_a_private_network(port: int, path: str) -> None:
    host, _, rest = path.partition("/")
    with pytest.raises(SourceFailed, match=r"redirects to 127.0.0.2 \(127.0.0.2\), which is in a private network"):
        fetched(HttpSource(LoopbackNetworks()), f"http://{host}:{port}/{rest}/file")


def test_the_address_that_was_checked_is_connected_to(port: int) -> None:
    answers = iter(["127.0.0.1", "169.254.169.254", "127.0.0.2"])
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    rules = DownloadRules(allowed=IpNetworks.parse(["127.0.0.0/8"]))
    assert fetched(HttpSource(rules, resolve=resolve), f"http://changing.test:{port}/file") == b"disk"
    assert asked == ["changing.test"], "one lookup, whose answer is checked and used"
    with pytest.raises(SourceFailed, match=r"a cloud's service \(169\.254\.169\.254\)"):
        fetched(HttpSource(rules, resolve=resolve), f"http://changing.test:{port}/file")


def test_a_name_of_the_internet_does_not_move_into_a_private_network(port: int) -> None:
    url = f"http://moving.test:{port}/file"
    source = HttpSource(LoopbackNetworks(), resolve=of(["127.0.0.2", "127.0.0.1", "127.0.0.2"]))
    assert not source.was_public
    assert fetched(source, url) == b"disk", "a name of a private network, as an administrator may give"
    assert fetched(source, url) == b"disk"
    assert source.was_public
    with pytest.raises(SourceFailed, match=r"moving.test was a server of the internet .* \(127.0.0.2\)") as refused:
        fetched(source, url)
    assert refused.value.is_lasting


def test_a_later_try_knows_that_the_name_was_of_the_internet(port: int) -> None:
    later = HttpSource(LoopbackNetworks(), was_public=True, resolve=of(["127.0.0.2"]))
    with pytest.raises(SourceFailed, match="was a server of the internet"):
        fetched(later, f"http://moving.test:{port}/file")


def test_a_redirect_to_the_internet_leaves_the_private_name_usable(port: int) -> None:
    source = HttpSource(LoopbackNetworks())
    for _ in range(2):
        assert fetched(source, f"http://127.0.0.2:{port}/to/127.0.0.1/file") == b"disk"
