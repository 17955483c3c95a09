"""What a stranger sends before a login, and what servers and files say, is parsed in time that grows as its length."""

from __future__ import annotations

import gc
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel
from werkzeug.exceptions import HTTPException

from common.errors import InnkeeperError
from common.rpc.frames import ProtocolError, decode
from common.rpc.tokens import PREFIX, decode_token
from common.trust.certificates import load_certificate, make_authority, subject_of, utc_now
from innkeeper.maas_import.copy_text import array_of, fields_of
from innkeeper.maas_import.script import read_script
from rackd.drivers.lxd.connection.dialect import LXD
from rackd.drivers.lxd.connection.failures import of_operation, of_response
from rackd.drivers.lxd.guests.rebuild.replacement import OUTPUT_LOST
from rackd.drivers.lxd.inventory.usage import counters_of
from regiond.api.compression import accepts_gzip
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.forwarding import ProxyHeaders, Sender, TrustedProxies, is_host
from regiond.api.http.site import make_site
from regiond.api.http.site_request import SiteRequest
from regiond.api.pipeline.authentication import header_parameters, read_signature
from regiond.api.pipeline.oauth_hmac import signed_parameters
from regiond.api.pipeline.request import ApiRequest, read_body, read_query
from regiond.images.inspection.lxd_metadata import parse_metadata
from regiond.ui.serving.session_cookie import read_cookie
from tests.integration.support.odd_certificates import odd_certificate
from tests.unit.support.api_double import ApiDouble

Parse = Callable[[str], object]

SHORTEST, LONGEST = 256, 262_144  # characters; doubled until they take MEASURABLE_S more than none
MEASURABLE_S = 0.0002
GROWTH = 16
# Of the time for GROWTH times the input: about 16 when linear, 256 when quadratic.
LIMIT = 64.0
# For each character. What takes less only copies, a 4 MB input up to 6 times as slowly as a short one, which fits the
# processor's cache and needs no new pages of the kernel. Quadratic time is GROWTH * MEASURABLE_S / LONGEST, 12 ns, or
# more.
COPIED_S = 5e-9
ATTEMPTS = 4


@contextmanager
def no_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def seconds(parse: Parse, text: str) -> float:
    """The least of three runs, in CPU time of this thread: neither other processes nor the collector count."""
    found = []
    for _ in range(3):
        with no_collection():
            started = time.thread_time()
            with suppress(InnkeeperError, ProtocolError):
                parse(text)
            found.append(time.thread_time() - started)
    return min(found)


def growth(parse: Parse, unit: str) -> float:
    """How much longer GROWTH times the input takes; 1.0 if it takes too little time to say."""
    at_least_s = seconds(parse, "") + MEASURABLE_S
    length = SHORTEST
    while (before_s := seconds(parse, filled(unit, length))) < at_least_s:
        if length == LONGEST:
            return 1.0
        length *= 2
    longer_s = seconds(parse, filled(unit, length * GROWTH))
    if longer_s < length * GROWTH * COPIED_S:
        return 1.0
    return longer_s / min(before_s, seconds(parse, filled(unit, length)))


def filled(unit: str, length: int) -> str:
    return unit * (length // len(unit))


def is_linear(parse: Parse, unit: str) -> bool:
    """A disturbance makes one measurement wrong, but not each of several."""
    return any(growth(parse, unit) < LIMIT for _ in range(ATTEMPTS))


def through_proxy(name: str) -> Parse:
    """Reads the header as of a trusted proxy."""
    which = ProxyHeaders.FORWARDED if name == "Forwarded" else ProxyHeaders.X_FORWARDED
    proxies = TrustedProxies(headers=which)
    peer = Sender(address="127.0.0.1", scheme="http", host="region")
    return lambda text: proxies.sender(peer, lambda wanted: [text] if wanted == name else [])


def body(content_type: str) -> Parse:
    return lambda text: read_body(content_type, text.encode())


def json_of(before: str, after: str) -> Parse:
    return lambda text: read_body("application/json", f"{before}{text}{after}".encode())


def in_request(name: str) -> Parse:
    """The header as the HTTP server parses it before any handler."""

    def parse(text: str) -> object:
        request = SiteRequest(DummyChannel(), False)
        request.requestHeaders.addRawHeader(name.encode(), text.encode())
        Request.parseCookies(request)
        return request.requestHeaders.getRawHeaders(name)

    return parse


@cache
def routes() -> Parse:
    """Which resource a path leads to."""
    adapter = make_site(ApiDouble().services(), SiteInfo()).adapter
    urls = adapter.app.url_map.bind("region")

    def parse(text: str) -> object:
        with suppress(HTTPException):
            return urls.match(f"/MAAS/api/2.0/{text}", method="GET")
        return None

    return parse


@cache
def authority() -> tuple[str, str]:
    return make_authority("test", utc_now())


@cache
def certificate_with(names: int) -> x509.Certificate:
    """A client certificate with so many names, as a peer presents it in the TLS handshake."""
    each = [f"{number}.rack.innkeeper.internal" for number in range(names)]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return load_certificate(odd_certificate(*authority(), names=each, usages=usages, now=utc_now())[1])


def names_of(text: str) -> object:
    return subject_of(certificate_with(len(text) // 32))


HEADER_UNITS = [
    '"',
    ",",
    "\\",
    "%",
    ";",
    "=",
    "a",
    " ",
    "a ",
    "a=",
    'a="',
    '="',
    ", ",
    "a,",
    "%41",
    "\t",
    "é",
    ";;=",
    "q=0,",
]
HEADERS: dict[str, Parse] = {
    "authorization": lambda text: header_parameters("OAuth " + text),
    "signature": lambda text: read_signature("OAuth " + text, []),
    "signed parameters": lambda text: signed_parameters("OAuth " + text, [], []),
    "bearer": lambda text: read_signature("Bearer " + text, []),
    "host": is_host,
    "cookie": in_request("Cookie"),
    "session": lambda text: read_cookie(text, secure=True),
    "forwarded": through_proxy("Forwarded"),
    "x-forwarded-for": through_proxy("X-Forwarded-For"),
    "x-forwarded-host": through_proxy("X-Forwarded-Host"),
    "accept-encoding": accepts_gzip,
    "prefer": lambda text: ApiRequest(method="GET", prefer=text).respond_async,
    "content-type": lambda text: read_body("multipart/form-data; " + text, b"--x"),
}
QUERY_UNITS = ["&", "=", "%", "%4", "%41", "+", "a=%zz&", "a=1&", ";", "[", "oauth_token=a&"]
BODIES: dict[str, tuple[Parse, list[str]]] = {
    "query": (read_query, QUERY_UNITS),
    "form": (body("application/x-www-form-urlencoded"), QUERY_UNITS),
    "json text": (json_of('{"a": "', '"}'), ["\\", "\\\\", '\\"', "\\u0041", "\\ud800", "é", "a"]),
    "json value": (json_of('{"a": ', "}"), ["[", "{", '{"a":', "[[],", "1", "1,", " ", "-", "1e", "tru", '"', "\n"]),
    "json list": (json_of('{"a": [', "1]}"), ["1,", "[],", "{},", '"",', '"é",', "1.5e3,", "null,"]),
    "multipart": (
        body("multipart/form-data; boundary=x"),
        ["--x\r\n", "\r\n--x", "\r\n--", "\r\n", "-", "\n", "a", "--x\r\n\r\n\r\n",
         "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"],
    ),
    "multipart headers": (
        lambda text: read_body(
            "multipart/form-data; boundary=x", b"--x\r\n" + text.encode() + b"\r\n\r\n1\r\n--x--\r\n"
        ),
        ["a: b\r\n", "Content-Disposition: form-data; ", ";", '"', "\\", 'name="a";', "a=", " ", ":"],
    ),
    "multipart base64": (
        lambda text: read_body(
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + text.encode() + b"\r\n--x--\r\n",
        ),
        ["A", "=", "A=", " ", "AAAA\r\n", "%"],
    ),
}  # fmt: skip
PATH_UNITS = ["/", "a/", "%2f", "op-", "/op-a", "vm-hosts/", "vm-hosts/a/op-", "..", "//", "%", "é", "machines/a/"]


def dump_line(before: str, after: str) -> Parse:
    """A line of a dump of MAAS, among lines that are none of its own."""
    return lambda text: read_script(io.BytesIO(f"{before}{text}{after}\n".encode()))


def reason(pattern: re.Pattern[str]) -> Parse:
    """What a server says of an operation that failed, in which a pattern looks for the cause."""
    return lambda text: pattern.search(str(of_operation(text, LXD)))


OTHERS: dict[str, tuple[Parse, list[str]]] = {
    "dump: table": (dump_line("COPY ", ""), [" (", ") FROM stdin;", '"', '"a', '""', "a.", "a,"]),
    "dump: columns": (dump_line("COPY public.x (", ") FROM stdin;"), [" (", ") FROM stdin;", '"', '"a', '""', "a, "]),
    "dump: database": (dump_line("\\connect ", ""), [" ", '"', "dbname='", "\\", "-reuse-previous=on "]),
    "dump: frames": (dump_line("", ""), ["-- PostgreSQL database dump\n", "-- PostgreSQL database dump complete\n"]),
    "dump: array": (array_of, ["{", '{"', '"a\\', '"",', "a,"]),
    "dump: fields": (lambda text: fields_of(text.encode()), ["\\", "\t", "\\x", "\\1"]),
    "metadata of an image": (parse_metadata, ["\n", "a: b\n", "properties:\n", "  ", "'", '"', "\\"]),
    "reason: output lost": (reason(OUTPUT_LOST), ["invalid character ", "invalid character x ", "unexpected end "]),
    "reason: forwarded": (
        lambda text: of_response(500, text, LXD, server="x", what="y"), ['get "https://', 'get "https://a', "get "]
    ),
    "counters": (
        lambda text: counters_of(text, calls=1),
        ["lxd_cpu_effective_total{", 'lxd_cpu_effective_total{a="b"} 1\n', "a"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "unit"),
    [pytest.param(parse, unit, id=f"{name}-{unit!r}") for name, (parse, units) in OTHERS.items() for unit in units],
)
def test_what_others_say_takes_linear_time(parse: Parse, unit: str) -> None:
    assert is_linear(parse, unit)


@pytest.mark.parametrize("unit", HEADER_UNITS, ids=repr)
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_takes_linear_time(name: str, unit: str) -> None:
    assert is_linear(HEADERS[name], unit)


@pytest.mark.parametrize(
    ("parse", "unit"),
    [pytest.param(parse, unit, id=f"{name}-{unit!r}") for name, (parse, units) in BODIES.items() for unit in units],
)
def test_a_query_or_body_takes_linear_time(parse: Parse, unit: str) -> None:
    assert is_linear(parse, unit)


@pytest.mark.parametrize("unit", PATH_UNITS, ids=repr)
def test_a_path_takes_linear_time(unit: str) -> None:
    assert is_linear(routes(), unit)


def test_the_names_of_a_client_certificate_take_linear_time() -> None:
    assert is_linear(names_of, "a")


@pytest.mark.parametrize("unit", ["A", "=", "-", " ", "eyI", "\n"], ids=repr)
def test_a_join_token_takes_linear_time(unit: str) -> None:
    assert is_linear(lambda text: decode_token(PREFIX + text), unit)


@pytest.mark.parametrize("unit", ["\x81", "\x91", "\x80", "\x00", "\xa1a", "\xdd", "\x82\xa1a"], ids=ascii)
def test_a_frame_takes_linear_time(unit: str) -> None:
    assert is_linear(lambda text: decode(text.encode("latin-1"), max_bytes=2**30), unit)


@pytest.mark.slow
def test_the_criterion_finds_quadratic_time() -> None:
    def quadratic(text: str) -> object:
        return re.findall(r'[a-z]+"', text)

    assert not is_linear(quadratic, "a")
