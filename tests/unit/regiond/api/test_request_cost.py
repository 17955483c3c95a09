"""Which requests count as expensive: those that make a query read a whole table or encode a long list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from regiond.api.pipeline.dispatch import Api
from regiond.api.pipeline.request import ApiRequest
from regiond.requests.request_limits import BURST_S, RequestLimits, RequestRates
from tests.unit.support.api_double import NOW_S, ApiDouble, resource_at, result_of
from tests.unit.support.api_samples import ADMIN

ID, OTHER_ID = "wdpx3n", "aaaaaa"


def is_expensive(path: str, query: Any) -> bool:
    """Whether the request is refused once the account has made all expensive requests that it may."""
    double = ApiDouble()
    limits = RequestLimits(RequestRates(expensive_requests_per_s=1), clock=lambda: 0.0)
    for _ in range(int(BURST_S)):
        limits.take_expensive(ADMIN)
    api = Api(services=double.services(), info=double.info, now_s=lambda: NOW_S, limits=limits)
    resource, parts = resource_at(path)
    request = ApiRequest(method="GET", query=urlencode(query, doseq=True), authorization=double.signed())
    status = result_of(api.answer(resource, parts, request, "reference-1")).status
    assert status in {200, 429}
    return status == 429


@pytest.mark.parametrize(
    ("query", "expensive"),
    [
        ({}, True),
        ({"zone": "default"}, True),
        ({"limit": 50}, False),
        ({"limit": 51}, True),
        ({"limit": 50, "after": "quick-fox", "zone": "default", "tags": "virtual"}, False),
        ({"limit": 50, "q": "fox"}, True),
        ({"limit": 50, "q": " "}, False),
        ({"limit": 50, "sort": "memory"}, True),
        ({"limit": 50, "mem": 1024}, True),
        ({"limit": 50, "not_pod": "hv-01"}, True),
        ({"id": ID}, False),
        ({"id": [ID, OTHER_ID], "agent_name": "juju"}, False),
        ({"id": [ID] * 51}, True),
        ({"id": " "}, True),  # names none, so it lists all
        ({"hostname": "quick-fox"}, False),
        ({"hostname": "quick-fox", "sort": "pod"}, True),
    ],
)
def test_a_list_of_machines_is_expensive_unless_few_are_read(query: Any, expensive: bool) -> None:
    assert is_expensive("machines/", query) == expensive


@pytest.mark.parametrize("query", [{}, {"limit": 1}, {"q": "x", "limit": 1}])
@pytest.mark.parametrize("path", ["vm-hosts/", "virtual-machines/", "nodes/", "discrepancies/"])
def test_a_page_of_a_list_that_is_read_as_a_whole_costs_like_the_list(path: str, query: Any) -> None:
    assert is_expensive(path, query)


def test_the_machines_of_a_user_are_read_as_a_whole_unless_they_are_named() -> None:
    assert is_expensive("machines/", {"op": "list_allocated"})
    assert is_expensive("machines/", {"op": "list_allocated", "limit": 1})
    assert not is_expensive("machines/", {"op": "list_allocated", "id": ID})


@pytest.mark.parametrize(
    ("path", "cheap", "expensive"),
    [
        ("operations/", {"limit": 1000, "before": 9, "machine": ID}, {"q": "fox"}),
        ("operations/", {}, {"state": "running"}),
        ("audit/", {"limit": 1000, "before": 9}, {"user": "ann"}),
        ("events/", {"op": "query", "limit": 1000, "before": 9}, {"op": "query", "host": 4}),
    ],
)
def test_a_log_is_cheap_unless_it_is_searched(path: str, cheap: Any, expensive: Any) -> None:
    assert not is_expensive(path, cheap)
    assert is_expensive(path, expensive)
    assert is_expensive("audit/", {"op": "verify"})
