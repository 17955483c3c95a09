"""Headers, query strings and request lines that cost a parser time: long, many, quoted, escaped."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from tests.abuse.attack import Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import BASE, exchange, request, stranger

_LONG = 16_000  # Twisted accepts lines of 16 KiB


def _signed_by(value: str) -> bytes:
    return request("GET", "machines/", headers={"Authorization": value})


def hostile_requests() -> Sequence[bytes]:
    """None of them is signed by a valid key."""
    return (
        _signed_by("OAuth " + "," * _LONG),
        _signed_by("OAuth " + '"' * _LONG),
        _signed_by("OAuth " + 'a="' * (_LONG // 3)),
        _signed_by("OAuth " + "a" * _LONG),
        _signed_by("OAuth " + "a=" * (_LONG // 2)),
        _signed_by("OAuth oauth_token=" + "%41" * 1300),
        _signed_by("OAuth" + " " * _LONG),
        _signed_by("x" * 200_000),
        request("GET", "machines/", headers={f"X-{n}": "y" for n in range(480)}),
        request("GET", "machines/", headers={f"X-{n}": "y" for n in range(5000)}),
        request("GET", "machines/?" + "a=b&" * (_LONG // 4)),
        request("GET", "machines/?" + "a" * _LONG),
        request("GET", "machines/?" + "%C3%A4" * (_LONG // 6)),
        request("GET", "machines/?oauth_token=" + "," * (_LONG - 20)),
        request("GET", "machines/?" + "x" * 1_000_000),
        request("GET", BASE + "machines/" + "../" * (_LONG // 3) + "/"),
        request("GET", BASE + "machines/" + "%2e" * (_LONG // 3) + "/"),
        request("GET", "machines/", headers={"X-Forwarded-For": "1," * (_LONG // 2)}),
        request("GET", "machines/", headers={"Forwarded": 'for="' * (_LONG // 5)}),
        request("GET", "machines/", headers={"Accept-Encoding": "gzip;q=0," * (_LONG // 9)}),
        request("GET", "machines/", headers={"Cookie": "a=b;" * (_LONG // 4)}),
        request("GET", "machines/").replace(b"region.example", b"a." * 8000),
        request("POST", "machines/", body=b"x", content_type="multipart/form-data; boundary=" + '"' * 8000),
        request("POST", "machines/", body=b"x", content_type="a/b;" + 'c="\\' * 4000),
        request("GET", "machines/", headers={"Transfer-Encoding": "chunked"}) + b"f" * 5000,
        b"\r\n" * 8000,
        b"\0" * _LONG + b"\r\n\r\n",
    )


@frozen(kw_only=True)
class HostileHeaders:
    name: str = "headers"
    what: str = "huge, many, quoted and escaped headers, query strings and request lines"
    callers: int = 4
    addresses: int = 4

    async def run(self, target: Target, tally: Tally) -> None:
        requests = hostile_requests()

        async def send(number: int) -> None:
            data = requests[number % len(requests)]
            tally.count((await exchange(target.http_port, data, address=stranger(number, self.addresses))).status)

        await repeat(self.callers, send, tally)
