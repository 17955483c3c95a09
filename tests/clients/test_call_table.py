"""The page of clients has the calls that the tests check."""

from __future__ import annotations

from regiond.api.declaration.not_part import OF_HANDLERS
from regiond.api.resources.registry import SERVED
from tests.clients.call_table import SECTION
from tests.clients.calls import ALL
from tests.clients.recording_proxy import name_of_call


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
