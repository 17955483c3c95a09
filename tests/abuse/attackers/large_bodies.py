"""Bodies of 4 MiB of every kind, from strangers and from an account without the right to do what they ask."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping

from attrs import frozen

from regiond.api.pipeline.request import MAX_BODY_BYTES
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import exchange, request, stranger

FORM, JSON, MULTIPART = "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=b"
PATHS = ("users/", "vm-hosts/", "zones/", "racks/?op=token")  # only administrators may change these
_LONG = MAX_BODY_BYTES - 1024
_UNPACKED = 4 * MAX_BODY_BYTES


@frozen(kw_only=True)
class Kind:
    content_type: str
    body: bytes
    encoding: str | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.encoding is None else {"Content-Encoding": self.encoding}


def _repeated(start: bytes, part: bytes, end: bytes) -> bytes:
    return start + part * ((_LONG - len(start) - len(end)) // len(part)) + end


def _part(name: bytes, value: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


def kinds() -> tuple[Kind, ...]:
    """Each has almost MAX_BODY_BYTES; the compressed one is larger only after it is decompressed."""
    return (
        Kind(content_type=JSON, body=json.dumps({"name": "x" * _LONG}).encode()),
        Kind(content_type=JSON, body=_repeated(b'{"name":"', b"\\u0041", b'"}')),
        Kind(content_type=JSON, body=_repeated(b'{"name":', b"[", b"")),
        Kind(content_type=JSON, body=_repeated(b'{"name":', b'{"a":', b"")),
        Kind(content_type=JSON, body=_repeated(b'{"name":[', b"1e999999999,", b"0]}")),
        Kind(content_type=JSON, body=b'{"name":' + b"9" * _LONG + b"}"),
        Kind(content_type=JSON, body=json.dumps({f"k{n}": "v" * 20 for n in range(_LONG // 40)}).encode()),
        Kind(content_type=FORM, body=b"name=" + b"x" * _LONG),
        Kind(content_type=FORM, body=b"name=" + b"%41" * (_LONG // 3)),
        Kind(content_type=FORM, body=_repeated(b"", b"a=b&", b"")),
        Kind(content_type=FORM, body=b"&".join(b"name=" + b"x" * 2200 for _ in range(_LONG // 2208))),
        Kind(content_type=MULTIPART, body=_part(b"name", b"x" * (_LONG - 200)) + b"--b--\r\n"),
        Kind(content_type=MULTIPART, body=_repeated(b"", _part(b"a", b""), b"--b--\r\n")),
        Kind(content_type=MULTIPART, body=_repeated(b"", b"--b\r\n", b"--b--\r\n")),
        Kind(content_type=MULTIPART, body=_repeated(b"--b\r\n", b"X: y\r\n", b"\r\n--b--\r\n")),
        Kind(content_type=JSON, body=gzip.compress(b"[" * _UNPACKED, 1), encoding="gzip"),
        Kind(content_type=FORM, body=gzip.compress(b"name=" + bytes(_UNPACKED), 1), encoding="gzip"),
        Kind(content_type="text/plain", body=b"x" * _LONG),
        Kind(content_type=FORM, body=b"x" * (2 * MAX_BODY_BYTES)),
    )


@frozen(kw_only=True)
class LargeBodies:
    """`by_user`: the requests are signed with the key of an account; otherwise strangers send them."""

    name: str
    what: str
    by_user: bool
    callers: int = 4
    addresses: int = 4

    async def run(self, target: Target, tally: Tally) -> None:
        bodies = kinds()
        key = target.user_key if self.by_user else None

        async def send(number: int) -> None:
            kind, path = bodies[number % len(bodies)], PATHS[number // len(bodies) % len(PATHS)]
            data = request("POST", path, key=key, body=kind.body, content_type=kind.content_type, headers=kind.headers)
            tally.count((await exchange(target.http_port, data, address=stranger(number, self.addresses))).status)

        await repeat(self.callers, send, tally)


ATTACKS: tuple[Attack, ...] = (
    LargeBodies(name="bodies", what="bodies of 4 MiB of every kind, without a key", by_user=False, callers=40),
    LargeBodies(name="bodies-of-a-user", what="the same, by an account that lacks the rights", by_user=True),
)
