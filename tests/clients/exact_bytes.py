"""Requests in the bytes of gomaasclient, Ansible's collection, the maas command and Cluster API."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

from attrs import define, frozen

Fields = Sequence[tuple[str, str]]


@frozen(kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Connection:
    """Sends each request on a connection of its own. `url` is that of `/MAAS`; `slowest_s` is of the slowest answer."""

    url: str
    slowest_s: float = 0.0

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    async def send(self, first: str, headers: Iterable[str], body: bytes = b"") -> Answer:
        head = "".join(f"{line}\r\n" for line in (first, *headers)) + "\r\n"
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(*self.host.split(":"))
        try:
            writer.write(head.encode("ascii") + body)
            answer = await _read(reader, began)
        finally:
            writer.close()
        self.slowest_s = max(self.slowest_s, answer.seconds)
        return answer


async def _read(reader: asyncio.StreamReader, began: float) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Answer(status=int(head[0].split(" ")[1]), headers=headers, body=body, seconds=time.monotonic() - began)


@define(kw_only=True)
class _Signer:
    key: str
    count: int = 0

    def parameters(self, method: str) -> dict[str, str]:
        self.count += 1
        consumer, token, _ = self.key.split(":")
        return {
            "oauth_nonce": f"{time.monotonic_ns()}{self.count}",
            "oauth_timestamp": str(int(time.time())),
            "oauth_version": "1.0",
            "oauth_signature_method": method,
            "oauth_consumer_key": consumer,
            "oauth_token": token,
        }

    @property
    def secret(self) -> str:
        return self.key.split(":")[2]


@define
class Gomaasclient:
    """gomaasapi's HTTP layer, which Terraform's provider uses: `?op=` on every POST, forms, gzip."""

    connection: Connection
    signer: _Signer

    @classmethod
    def to(cls, url: str, key: str) -> Gomaasclient:
        return cls(Connection(url), _Signer(key=key))

    async def get(self, path: str, op: str = "", fields: Fields = ()) -> Answer:
        query = urlencode([*([("op", op)] if op else []), *fields])
        return await self._send("GET", path + (f"?{query}" if query else ""), None)

    async def post(self, path: str, op: str = "", fields: Fields = ()) -> Answer:
        return await self._send("POST", f"{path}?op={op}", fields)

    async def put(self, path: str, fields: Fields = ()) -> Answer:
        return await self._send("PUT", path, fields)

    async def delete(self, path: str) -> Answer:
        return await self._send("DELETE", path, None)

    async def _send(self, method: str, path: str, fields: Fields | None) -> Answer:
        given = {
            "realm": "MAAS API",
            **self.signer.parameters("PLAINTEXT"),
            "oauth_signature": f"&{self.signer.secret}",
        }
        signature = ", ".join(f'{name}="{quote(value, safe="").replace("%20", "+")}"' for name, value in given.items())
        body = urlencode(sorted(fields)).encode() if fields is not None else b""
        headers = [f"Host: {self.connection.host}", "User-Agent: Go-http-client/1.1", "Connection: close"]
        if fields is not None:
            headers.append(f"Content-Length: {len(body)}")
        headers.append(f"Authorization: OAuth {signature}")
        if fields is not None:
            headers.append("Content-Type: application/x-www-form-urlencoded")
        headers.append("Accept-Encoding: gzip")
        return await self.connection.send(f"{method} /MAAS/api/2.0/{path} HTTP/1.1", headers, body)


@define
class Ansible:
    """The client of the collection `maas.maas`: multipart parts without types, and no line end at the end."""

    connection: Connection
    signer: _Signer
    BOUNDARY = "===============8341259183715234117=="

    @classmethod
    def to(cls, url: str, key: str) -> Ansible:
        return cls(Connection(url), _Signer(key=key))

    async def get(self, path: str, fields: Fields = ()) -> Answer:
        return await self._send("GET", path + (f"?{urlencode(fields)}" if fields else ""), None)

    async def post(self, path: str, fields: Fields = (), op: str = "") -> Answer:
        return await self._send("POST", path + (f"?op={op}" if op else ""), fields)

    async def put(self, path: str, fields: Fields = ()) -> Answer:
        return await self._send("PUT", path, fields)

    async def delete(self, path: str) -> Answer:
        return await self._send("DELETE", path, None)

    async def _send(self, method: str, path: str, fields: Fields | None) -> Answer:
        given = {**self.signer.parameters("PLAINTEXT"), "oauth_signature": f"%26{self.signer.secret}"}
        headers = ["Accept-Encoding: identity"]
        body = b""
        if fields is not None:
            parts = "".join(
                f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in fields
            )
            body = f"{parts}--{self.BOUNDARY}--".encode()
            headers += [
                f"Content-Length: {len(body)}",
                f'Content-Type: multipart/form-data; boundary="{self.BOUNDARY}"',
            ]
        signature = ", ".join(f'{name}="{value}"' for name, value in given.items())
        headers += [
            f"Host: {self.connection.host}", "User-Agent: ansible-httpget", "Accept: application/json",
            f"Authorization: OAuth {signature}", "Connection: close",
        ]  # fmt: skip
        return await self.connection.send(f"{method} /MAAS/api/2.0/{path} HTTP/1.1", headers, body)


@define
class MaasCommand:
    """The `maas` command: each field of a body is a part in base64, no body without fields, queries of DELETE."""

    connection: Connection
    signer: _Signer
    BOUNDARY = "===============0662489132156283434=="

    @classmethod
    def to(cls, url: str, key: str) -> MaasCommand:
        return cls(Connection(url), _Signer(key=key))

    async def send(self, method: str, path: str, op: str | None, fields: Fields = (), *, signed: bool = True) -> Answer:
        """`path` is from the root of the host, as `describe/` has it. A field `@NAME` is a file."""
        in_body = method in {"POST", "PUT"}
        query = urlencode([*([("op", op)] if op else []), *(() if in_body else fields)])
        headers = [f"Host: {self.connection.host}"]
        body = b"".join(map(self._part, fields)) + f"--{self.BOUNDARY}--\r\n".encode() if in_body and fields else b""
        if body:
            headers += [
                f"Content-Length: {len(body)}",
                f'Content-Type: multipart/form-data; boundary="{self.BOUNDARY}"',
            ]
        headers += ["User-Agent: Python-httplib2/0.20.4 (gzip)", "Accept-Encoding: gzip, deflate"]
        if signed:
            given = {**self.signer.parameters("PLAINTEXT"), "oauth_signature": f"&{self.signer.secret}"}
            signature = ", ".join(f'{name}="{_escaped(value)}"' for name, value in given.items())
            headers.append(f"Authorization: OAuth {signature}")
        if method in {"POST", "PUT", "DELETE"} and not body:
            headers.append("Content-Length: 0")
        return await self.connection.send(f"{method} {path}{f'?{query}' if query else ''} HTTP/1.1", headers, body)

    def _part(self, given: tuple[str, str]) -> bytes:
        name, value = given
        described = f'name="{name}"\r\nContent-Type: text/plain; charset="utf-8"'
        if name.startswith("@"):
            described = f'name="{name[1:]}"; filename="{name[1:]}"\r\nContent-Type: application/octet-stream'
        encoded = base64.encodebytes(value.encode()).replace(b"\n", b"\r\n")
        head = f"--{self.BOUNDARY}\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"
        return f"{head}Content-Disposition: form-data; {described}\r\n\r\n".encode() + encoded + b"\r\n"


@define
class ClusterApi:
    """maas-client-go, which cluster-api-provider-maas uses: HMAC-SHA1, and the op in the form.

    The header repeats every field, with a blank as `+`; each is signed once. Fields of a PUT are not signed.
    """

    connection: Connection
    signer: _Signer

    @classmethod
    def to(cls, url: str, key: str) -> ClusterApi:
        return cls(Connection(url), _Signer(key=key))

    async def get(self, path: str, fields: Fields = ()) -> Answer:
        return await self._send("GET", path, fields)

    async def post(self, path: str, fields: Fields = (), op: str = "") -> Answer:
        return await self._send("POST", path, [*fields, *([("op", op)] if op else [])])

    async def put(self, path: str, fields: Fields = ()) -> Answer:
        return await self._send("PUT", path, fields)

    async def delete(self, path: str) -> Answer:
        return await self._send("DELETE", path, ())

    async def _send(self, method: str, path: str, fields: Fields) -> Answer:
        target = f"/MAAS/api/2.0/{path}"
        given = {**self.signer.parameters("HMAC-SHA1"), **(dict(fields) if method != "PUT" else {})}
        pairs = sorted((_escaped(name), _escaped(value)) for name, value in given.items())
        normal = "&".join(f"{name}={value}" for name, value in pairs)
        base = "&".join((method, _escaped(f"http://{self.connection.host}{target}"), _escaped(normal)))
        digest = hmac.new(f"&{_escaped(self.signer.secret)}".encode(), base.encode(), hashlib.sha1).digest()
        given["oauth_signature"] = base64.b64encode(digest).decode()
        signature = ", ".join(f'{name}="{quote_plus(value, safe="~")}"' for name, value in sorted(given.items()))
        headers = [f"Host: {self.connection.host}", "User-Agent: Go-http-client/1.1"]
        body = b""
        if method == "GET":
            target += f"?{urlencode(fields)}" if fields else ""
        elif fields:
            body = urlencode(fields).encode()
            headers += [f"Content-Length: {len(body)}", "Content-Type: application/x-www-form-urlencoded"]
        else:
            headers += ["Content-Length: 0"]
        headers += ["Accept: application/json", f"Authorization: OAuth {signature}", "Accept-Encoding: gzip"]
        return await self.connection.send(f"{method} {target} HTTP/1.1", headers, body)


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")
