"""Requests, answers and refusals of LXD's REST API."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import evolve, field, frozen

DEFAULT_PROJECT = "default"
API = "/1.0"
LOCAL = "local"  # who asks through the Unix socket: the administrator of the server


class Refused(Exception):
    """LXD refuses a request. `status` is that of the response, unless an operation fails: then that has 400."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class NotModelled(Exception):
    """The double has no answer to a request that LXD would answer."""


@frozen(kw_only=True)
class Request:
    """`parts` are those of the path below `/1.0`, `caller` is the fingerprint of the client's certificate."""

    method: str
    parts: tuple[str, ...]
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)  # names in lower case
    content: bytes = b""
    caller: str = LOCAL  # empty without a certificate
    certificate_pem: str = ""  # of the client

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Request:
        split = urlsplit(url)
        return cls(
            method=method,
            parts=tuple(unquote(part) for part in split.path.removeprefix(API).split("/") if part),
            query=dict(parse_qsl(split.query, keep_blank_values=True)),
            headers={name.lower(): text for name, text in headers.items()},
            content=content,
        )

    def of_client(self, certificate: bytes | None) -> Request:
        """Returns the request as it comes through the network, from a client with this certificate (DER)."""
        if certificate is None:
            return evolve(self, caller="")
        pem = ssl.DER_cert_to_PEM_cert(certificate)
        return evolve(self, caller=hashlib.sha256(certificate).hexdigest(), certificate_pem=pem)

    @property
    def project(self) -> str:
        return self.query.get("project", DEFAULT_PROJECT)

    @property
    def recursion(self) -> int:
        return int(self.query.get("recursion", "0").partition(";")[0])

    @property
    def state_fields(self) -> frozenset[str]:
        """The parts of an instance's state to be listed: `2;fields=state.disk` is one, `2` is all."""
        _, is_chosen, fields = self.query.get("recursion", "0").partition(";fields=")
        return frozenset(fields.split(",")) if is_chosen else frozenset({"state.disk", "state.network"})

    def body(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.content)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        return found


@frozen(kw_only=True)
class Answer:
    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)


def sync(metadata: Any, *, etag: str = "") -> Answer:
    return Answer(content=_envelope("sync", metadata, status="Success", status_code=200), headers=_etag_header(etag))


def background(operation: Mapping[str, Any]) -> Answer:
    """The answer to a request that starts an operation, which still runs then."""
    running = {**operation, "status": "Running", "status_code": 103, "err": ""}
    url = f"{API}/operations/{operation['id']}"
    body = _envelope("async", running, status="Operation created", status_code=100, operation=url)
    return Answer(status=202, content=body, headers={"Location": url})


def error(status: int, message: str) -> Answer:
    return Answer(status=status, content=_envelope("error", None, error=message, error_code=status))


def etag_of(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def check_etag(request: Request, etag: str) -> None:
    wanted = request.headers.get("if-match", "").strip('"')
    if wanted and wanted != etag:
        raise Refused(412, f"ETag doesn't match: {etag} vs {wanted}")


def _etag_header(etag: str) -> dict[str, str]:
    return {"ETag": f'"{etag}"'} if etag else {}


def _envelope(kind: str, metadata: Any, **fields: Any) -> bytes:
    empty = {"status": "", "status_code": 0, "operation": "", "error_code": 0, "error": ""}
    return json.dumps({"type": kind, **empty, **fields, "metadata": metadata}).encode()
