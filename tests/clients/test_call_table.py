"""The page of clients has the calls that the tests check."""

from __future__ import annotations

from regiond.api.declaration.not_part import OF_HANDLERS
from regiond.api.resources.registry import SERVED
from tests.clients.call_table import SECTION
from tests.clients.calls import ALL
from tests.clients.recording_proxy import RequestReader, name_of_call


def test_the_page_is_up_to_date() -> None:
    page = SECTION.page.read_text(encoding="utf-8")
    assert SECTION.placed_in(page, SECTION.generate()) == page, f"run: python -m {SECTION.module} --write"


def test_every_declared_call_is_served_or_has_a_reason() -> None:
    served = {
        f"{one.method} {resource.path}" + (f"?op={one.op}" if one.op else "")
        for resource in SERVED
        for one in resource.endpoints
    }
    reasons = {f"POST {resource.path}?op={op}" for resource in SERVED for op in OF_HANDLERS.get(resource.handler, ())}
    assert {call for client in ALL for call in client.calls} <= served | reasons


def test_calls_are_named_by_path_and_operation() -> None:
    name = "POST machines/{system_id}/?op=deploy"
    assert name_of_call("POST", "/MAAS/api/2.0/machines/a/?op=deploy") == name
    assert name_of_call("POST", "/MAAS/api/2.0/machines/a/op-deploy") == name
    assert name_of_call("POST", "/MAAS/api/2.0/machines/a/", b"op=deploy") == name
    assert name_of_call("DELETE", "/MAAS/api/2.0/subnets//5/?op=") == "DELETE subnets/{id}/"


def test_requests_are_told_apart_however_their_bodies_are_sent() -> None:
    """On a busy computer Go sends the empty body of a GET in chunks."""
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    sent = b"".join(
        (
            b"GET /MAAS/api/2.0/machines/?id=a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /MAAS/api/2.0/machines/a/ HTTP/1.1\r\nContent-Length: 9\r\n%b\r\nop=deploy" % form,
            b"POST /MAAS/api/2.0/machines/a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%b\r\n"
            b"3\r\nop=\r\n7\r\nrelease\r\n0\r\n\r\n" % form,
            b"GET /MAAS/api/2.0/zones/ HTTP/1.1\r\n\r\n",
        )
    )
    names = [f"{one} machines/{{system_id}}/?op={op}" for one, op in (("POST", "deploy"), ("POST", "release"))]
    for piece in (1, 7, len(sent)):
        reader = RequestReader([])
        for start in range(0, len(sent), piece):
            reader.feed(sent[start : start + piece])
        assert reader.calls == ["GET machines/", *names, "GET zones/"]
