"""What the API can do, a page can do; requests without a page are listed with the reason."""

from __future__ import annotations

import pytest

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.resources.registry import DOCUMENTED
from regiond.api.resources.shared import lookups
from regiond.ui.pages import PAGES
from tests.unit.support.api_double import SERVICES
from tests.unit.support.pages.page_coverage import OFFERED, RESOURCES_WITHOUT, WITHOUT
from tests.unit.support.pages.page_reach import pages_at, reach_of


def name_of(resource: Resource, endpoint: Endpoint) -> str:
    return f"{endpoint.method} {resource.path}" + (f"?op={endpoint.op}" if endpoint.op else "")


REQUESTS = {name_of(resource, one): (resource, one) for resource in DOCUMENTED for one in resource.endpoints}


def test_every_endpoint_has_a_page_or_a_reason() -> None:
    alone = {name for name, (resource, _) in REQUESTS.items() if resource.path not in RESOURCES_WITHOUT}
    missing = sorted(alone - OFFERED.keys() - WITHOUT.keys())
    assert missing == [], (
        "name the page in OFFERED of tests/unit/support/pages/page_coverage.py, or the reason in WITHOUT"
    )
    assert OFFERED.keys() & WITHOUT.keys() == set()
    assert sorted((OFFERED.keys() | WITHOUT.keys()) - alone) == [], "the API has no such request"
    assert RESOURCES_WITHOUT.keys() <= {resource.path for resource in DOCUMENTED}


@pytest.mark.parametrize("name", OFFERED)
def test_the_page_that_offers_a_request_calls_it(name: str) -> None:
    shown, (resource, endpoint) = OFFERED[name], REQUESTS[name]
    assert pages_at(shown.page), f"there is no page at {shown.page}"
    if shown.reads is None:
        assert reach_of(shown.page).calls(resource, endpoint), f"the code of {shown.page} does not act with it"
        return
    assert endpoint.method == "GET", "a page changes things through the API's endpoints"
    service, _, method = shown.reads.rpartition(".")
    assert hasattr(SERVICES[service] if service else lookups, method)
    assert reach_of(shown.page).reads(shown.reads), f"the code of {shown.page} does not read {shown.reads}"


def test_what_is_said_to_have_no_page_is_called_by_none() -> None:
    addresses = {page.path for page in PAGES}
    called = {
        name: sorted(path for path in addresses if reach_of(path).calls(resource, endpoint))
        for name, (resource, endpoint) in REQUESTS.items()
        if name in WITHOUT or resource.path in RESOURCES_WITHOUT
        if endpoint.op is not None or endpoint.method != "GET"
    }
    found = {name: pages for name, pages in called.items() if pages}
    assert found == {}, "move these from WITHOUT to OFFERED in tests/unit/support/pages/page_coverage.py"


def test_a_page_that_does_not_act_offers_nothing() -> None:
    """The proof can fail: the page of help acts on nothing, and that of a VM does not delete it."""
    resource, endpoint = REQUESTS["DELETE machines/{system_id}/"]
    assert not reach_of("help").calls(resource, endpoint)
    assert not reach_of("vms/<system_id>").calls(resource, endpoint)
    assert not reach_of("help").reads("machines.read")


@pytest.mark.parametrize(
    ("page", "request_"),
    [
        ("clusters/<cluster>/settings", "PUT vm-hosts/{id}/"),  # it has the resource, and PUT of another
        ("vms/bulk", "POST machines/?op=release"),  # it has the text, for a task
        ("networks/dns/<id>", "GET domains/{id}/?op=zone_file"),  # it links to the page with it
        ("zones/<id>", "DELETE zones/{name}/"),
    ],
)
def test_a_page_does_not_offer_what_others_of_its_kind_do(page: str, request_: str) -> None:
    assert not reach_of(page).calls(*REQUESTS[request_])


def test_a_service_is_not_read_by_the_method_of_another() -> None:
    assert reach_of("networks").reads("networks.subnets")
    assert not reach_of("vms/<system_id>").reads("machines.page")
