"""`limit`, `after`, `sort` and `q` of lists, `X-Total-Count` and `Link`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.words.hidden_text import hidden
from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.api.declaration.list_page import page_reply
from regiond.api.declaration.lists import ListOptions, sort_keys
from regiond.api.declaration.serializer import INT, STR, Serializer, array, item, nullable, serializer
from regiond.api.replies import Reply
from regiond.api.resources.registry import RESOURCES
from regiond.machines.values.search import MachineFilter
from regiond.requests.audience import HIDDEN_REASON
from regiond.requests.caller import Caller
from regiond.requests.long_list import LongList
from tests.unit.support.api_double import ApiDouble, json_of, result_of
from tests.unit.support.api_samples import ADMIN, ZONE
from tests.unit.support.good_requests import request
from tests.unit.support.machine_samples import MACHINE

ROW: Serializer[Any] = serializer("Row", item("id", INT), item("name", nullable(STR)), item("tags", array(STR)))
NAMES = ("west", "east", "middle east", "north", "south")


def api_with_zones() -> ApiDouble:
    zones = tuple(evolve(ZONE, id=number, name=name) for number, name in enumerate(NAMES, 1))
    return ApiDouble(answers={**ApiDouble().answers, "groups.zones": zones})


def zones(**query: Any) -> Reply:
    return api_with_zones().request("GET", "zones/", form=query, sent_path="/MAAS/api/2.0/zones/")


def names(reply: Reply) -> list[str]:
    assert reply.status == 200, reply
    return [one["name"] for one in json_of(reply)]


def test_without_parameters_a_list_is_as_it_was() -> None:
    reply = zones()
    assert names(reply) == list(NAMES)
    assert reply.headers == {"X-Total-Count": "5"}


def test_a_list_is_sorted_by_any_key_with_one_value() -> None:
    assert names(zones(sort="name")) == sorted(NAMES)
    assert names(zones(sort="-name")) == sorted(NAMES, reverse=True)


def test_an_unknown_sort_key_is_rejected_with_those_that_exist() -> None:
    reply = zones(sort="nane")
    assert (reply.status, json_of(reply)) == (
        400,
        {"sort": ["There is no key 'nane' to sort by; use id, name, description, resource_uri."]},
    )


def test_a_text_is_searched_in_all_values() -> None:
    reply = zones(q="EAST")
    assert names(reply) == ["east", "middle east"]
    assert reply.headers == {"X-Total-Count": "2"}
    assert names(zones(q="nowhere")) == []


@pytest.mark.parametrize("query", [{}, {"sort": "name"}, {"sort": "-name"}, {"sort": "description"}])
def test_the_pages_of_a_list_have_each_object_once(query: dict[str, str]) -> None:
    found: list[str] = []
    following: dict[str, str] = {**query, "limit": "2"}
    pages = 0
    while following:
        reply = zones(**following)
        assert reply.headers["X-Total-Count"] == "5"
        found += names(reply)
        pages += 1
        link = reply.headers.get("Link")
        following = {}
        if link is not None:
            target = re.fullmatch(r'</MAAS/api/2\.0/zones/\?(.*)>; rel="next"', link)
            assert target is not None
            following = dict(parse_qsl(target[1]))
    assert (sorted(found), pages) == (sorted(NAMES), 3)
    if query.get("sort") == "-name":
        assert found == sorted(NAMES, reverse=True)


def test_a_page_can_begin_after_an_id() -> None:
    assert names(zones(limit=2, after=2)) == ["middle east", "north"]


def test_a_link_contains_no_signature() -> None:
    reply = zones(limit=2, oauth_nonce="x")
    assert reply.status == 400 or "oauth" not in reply.headers["Link"]


@pytest.mark.parametrize("after", ["x", "W10", "WzEsMl0x", "e30", "bnVsbA"])
def test_a_position_of_another_order_is_rejected(after: str) -> None:
    reply = zones(sort="name", after=after, limit=1)
    assert (reply.status, list(json_of(reply))) == (400, ["after"])


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_limit_is_within_bounds(limit: str) -> None:
    assert zones(limit=limit).status == 400


ROWS = st.lists(
    st.fixed_dictionaries({"id": st.integers(-(10**17), 10**17), "name": st.none() | st.text(), "tags": st.just(["a"])})
)


@given(ROWS, st.sampled_from(["", "id", "-id", "name", "-name"]), st.integers(1, 4))
def test_any_list_is_complete_page_by_page(rows: list[dict[str, Any]], sort: str, limit: int) -> None:
    rows = list({row["id"]: row for row in rows}.values())
    found: list[int] = []
    after = ""
    for _ in range(len(rows) + 1):
        options = ListOptions.of({"limit": limit, "sort": sort, "after": after})
        reply = result_of(page_reply(LongList.of(rows), ROW, options, path="/", query=(), reader=ADMIN))
        found += [row["id"] for row in json.loads(reply.body)]
        if "Link" not in reply.headers:
            break
        after = dict(parse_qsl(reply.headers["Link"].partition("?")[2].partition(">")[0]))["after"]
    assert sorted(found) == sorted(row["id"] for row in rows)
    assert len(found) == len(rows)


@given(st.sets(st.integers(1, 30)), st.integers(1, 4), st.sampled_from(["", "0", "7", "30", "x"]))
def test_a_page_by_the_keys_of_a_list_reads_only_its_objects(ids: set[int], limit: int, after: str) -> None:
    rows: dict[int, Any] = {one: {"id": one, "name": None, "tags": []} for one in sorted(ids)}
    read = list[int]()

    async def read_rows(keys: Sequence[int]) -> list[dict[str, Any]]:
        read.extend(keys)
        return [rows[key] for key in keys]

    def page(found: LongList[Any]) -> tuple[bytes, Mapping[str, str]]:
        options = ListOptions.of({"limit": limit, "after": after})
        reply = result_of(page_reply(found, ROW, options, path="/", query=(), reader=ADMIN))
        return reply.body, reply.headers

    assert page(LongList(keys=sorted(ids), read=read_rows, keyed_by="id")) == page(LongList.of(rows.values()))
    assert len(read) <= limit


LISTS = [
    (resource, one)
    for resource in RESOURCES
    for one in resource.endpoints
    if one.method == "GET"
    and resource.handler != "InterfacesHandler"  # of one machine: a few
    and one.result.schema is not None
    and one.result.schema.get("type") == "array"
]


@pytest.mark.parametrize(("resource", "endpoint"), LISTS, ids=[f"{one[0].handler} {one[1].name}" for one in LISTS])
def test_every_list_has_pages(resource: Any, endpoint: Any) -> None:
    assert {"limit"} <= {one.name for one in endpoint.fields}


def names_of(endpoint: Endpoint) -> set[str]:
    return {one.name for one in endpoint.fields}


BY_DATABASE = {("MachinesHandler", "read"), ("OperationsHandler", "read")}  # searched there
PAGED = [one for one in LISTS if (one[0].handler, one[1].name) not in BY_DATABASE and "q" in names_of(one[1])]


@pytest.mark.parametrize(("resource", "endpoint"), PAGED, ids=[f"{one[0].handler} {one[1].name}" for one in PAGED])
@pytest.mark.parametrize("form", [{"limit": 1}, {"limit": 1, "q": "no value has this"}])
def test_every_list_answers_a_page(resource: Resource, endpoint: Endpoint, form: dict[str, Any]) -> None:
    whole, page = ApiDouble(), ApiDouble()
    assert request(whole, resource, endpoint).status == 200
    assert request(page, resource, endpoint, **form).status == 200
    count = len(json_of(request(whole, resource, endpoint)))
    assert len(json_of(request(page, resource, endpoint, **form))) == (0 if "q" in form else min(1, count))


@pytest.mark.parametrize(
    ("path", "form", "count"),
    [
        ("rackcontrollers/", {"agent_name": "juju"}, 0),
        ("rackcontrollers/", {"zone": "1", "domain": "maas"}, 1),
        ("nodes/", {"domain": ["0", "maas"]}, 3),
        ("devices/", {"tags": "virtual"}, 0),
        ("devices/", {"agent_name": "juju"}, 0),
        ("devices/", {"domain": "0"}, 1),
    ],
)
def test_a_filter_for_what_none_has_finds_none(path: str, form: dict[str, Any], count: int) -> None:
    api = ApiDouble()

    def machines(wanted: MachineFilter) -> LongList[Any]:
        return LongList.of(() if wanted.criteria.wanted.unknown else (MACHINE,))

    api.answers["machines.long_list"] = machines
    reply = api.request("GET", path, form=form)
    assert (len(json_of(reply)), "Warning" in reply.headers) == (count, False)


def test_keys_with_several_values_are_not_for_sorting() -> None:
    assert sort_keys(ROW.schema) == ("id", "name")


def test_a_page_of_machines_names_the_next() -> None:
    reply = ApiDouble().request("GET", "machines/", form={"sort": "-cpu_count", "limit": 5})
    assert (len(json_of(reply)), reply.headers) == (1, {"X-Total-Count": "1"})
    reply = ApiDouble().request("GET", "machines/", form={"sort": "colour"})
    assert "use hostname, status_name, pod," in json_of(reply)["sort"][0]


def test_a_page_of_machines_counts_only_those_with_such_devices() -> None:
    api = ApiDouble()
    reply = api.request("GET", "machines/", form={"storage": "0,20", "limit": 5})
    assert reply.headers == {"X-Total-Count": "1"}
    assert api.call("allocation.with_devices").named == {"storage": "0,20", "interfaces": ""}
    api.answers["allocation.with_devices"] = ()
    reply = api.request("GET", "machines/", form={"interfaces": "a:space=dmz", "limit": 5})
    assert (json_of(reply), reply.headers) == ([], {"X-Total-Count": "0"})


@pytest.mark.parametrize(
    ("path", "query", "link"),
    [
        ("operations/", {"limit": 1, "q": "web"}, '<?limit=1&q=web&before=77>; rel="next"'),
        ("operations/", {"limit": 1, "sort": "id"}, '<?limit=1&sort=id&after=77>; rel="next"'),
        ("operations/", {"limit": 1, "sort": "id", "after": 9}, '<?limit=1&sort=id&after=77>; rel="next"'),
        ("operations/", {"limit": 2}, None),
        ("audit/", {"limit": 1, "before": 90}, '<?limit=1&before=41>; rel="next"'),
        ("audit/", {"limit": 1, "sort": "id"}, '<?limit=1&sort=id&after=41>; rel="next"'),
    ],
)
def test_a_full_page_of_a_log_names_the_one_that_follows(path: str, query: dict[str, Any], link: str | None) -> None:
    assert ApiDouble().request("GET", path, form=query).headers.get("Link") == link


@pytest.mark.parametrize(("path", "service"), [("operations/", "operations"), ("audit/", "audit")])
def test_the_first_page_of_a_log_has_the_total_if_it_is_moderate(path: str, service: str) -> None:
    def total(number: int, **query: Any) -> tuple[str | None, bool]:
        api = ApiDouble()
        api.answers[f"{service}.count"] = number
        reply = api.request("GET", path, form=query)
        return reply.headers.get("X-Total-Count"), any(call.name == f"{service}.count" for call in api.calls)

    assert total(1000, limit=1) == ("1000", True)
    assert total(1001, limit=1) == (None, True)
    assert total(1000, limit=2) == ("1", False)  # the page has all
    assert total(1000, limit=1, before=90) == (None, False)
    assert total(1000, limit=1, sort="id", after=5) == (None, False)


@pytest.mark.parametrize("path", ["operations/", "audit/"])
def test_a_log_has_no_other_order(path: str) -> None:
    assert ApiDouble().rejected("GET", path, form={"sort": "state"})["sort"]


def test_a_list_is_searched_and_sorted_by_what_its_reader_sees() -> None:
    rows = [{"id": number, "name": hidden(f"{text}."), "tags": ["a"]} for number, text in enumerate(("b", "c", "a"))]
    user = Caller(account_id=2, username="ann", is_admin=False)
    for reader, finds, names in ((ADMIN, [1], ["a.", "b.", "c."]), (user, [], [HIDDEN_REASON] * 3)):
        for options, key, expected in (({"q": "c."}, "id", finds), ({"sort": "name"}, "name", names)):
            wanted = ListOptions.of({"limit": None, "sort": "", "after": "", "q": "", **options})
            reply = result_of(page_reply(LongList.of(rows), ROW, wanted, path="/", query=(), reader=reader))
            assert [row[key] for row in json.loads(reply.body)] == expected
