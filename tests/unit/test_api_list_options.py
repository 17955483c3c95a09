"""`limit`, `after`, `sort` and `q` of lists, `X-Total-Count` and `Link`."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.api.list_options import ListOptions, sort_keys
from regiond.api.list_page import page_reply
from regiond.api.registry import RESOURCES
from regiond.api.replies import Reply
from regiond.api.serializer import INT, STR, Serializer, array, item, nullable, serializer
from regiond.long_list import LongList
from tests.unit.api_double import ApiDouble, json_of, result_of
from tests.unit.api_samples import ZONE

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
        reply = result_of(page_reply(LongList.of(rows), ROW, options, path="/", query=()))
        found += [row["id"] for row in json.loads(reply.body)]
        if "Link" not in reply.headers:
            break
        after = dict(parse_qsl(reply.headers["Link"].partition("?")[2].partition(">")[0]))["after"]
    assert sorted(found) == sorted(row["id"] for row in rows)
    assert len(found) == len(rows)


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


def test_keys_with_several_values_are_not_for_sorting() -> None:
    assert sort_keys(ROW.schema) == ("id", "name")


def test_a_page_of_machines_names_the_next() -> None:
    reply = ApiDouble().request("GET", "machines/", form={"sort": "-cpu_count", "limit": 5})
    assert (len(json_of(reply)), reply.headers) == (1, {"X-Total-Count": "1"})
    reply = ApiDouble().request("GET", "machines/", form={"sort": "colour"})
    assert "use hostname, status_name, pod," in json_of(reply)["sort"][0]


@pytest.mark.parametrize(
    ("path", "query", "link"),
    [
        ("operations/", {"limit": 1, "q": "web"}, '<?limit=1&q=web&before=77>; rel="next"'),
        ("operations/", {"limit": 2}, None),
        ("audit/", {"limit": 1, "before": 90}, '<?limit=1&before=41>; rel="next"'),
    ],
)
def test_a_full_page_of_a_log_names_the_older_one(path: str, query: dict[str, Any], link: str | None) -> None:
    assert ApiDouble().request("GET", path, form=query).headers.get("Link") == link
