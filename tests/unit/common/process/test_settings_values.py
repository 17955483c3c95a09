"""What the pages of settings and accounts compute: filters, rows, uses of quotas, names of browsers, refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.errors import InvalidRequest, NameTaken
from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.audit.model import AuditResult
from regiond.groups.model import Zone
from regiond.ledger.model import GroupCapacity
from regiond.quotas.model import Holdings, Limits, Quota
from regiond.ui.forms.refusal import Refusal
from regiond.ui.settings.audit_pages import read_filters
from regiond.ui.settings.group_pages import group_rows
from regiond.ui.settings.quota_pages import uses
from regiond.ui.web_request import WebRequest
from regiond.ui.words.browser_names import browser_name

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
EDGE = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130 Safari/537.36 Edg/130.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1"
FIREFOX = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:130.0) Gecko/20100101 Firefox/130.0"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (CHROME, "Chrome on Linux"),
        (EDGE, "Edge on Windows"),
        (IPHONE, "Safari on iOS"),
        (FIREFOX, "Firefox on macOS"),
        ("monitor/1", "monitor/1"),
        ("", "unknown browser"),
    ],
)
def test_a_browser_is_named_with_its_system(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


def test_filters_of_the_audit_trail_are_read_from_the_address() -> None:
    query = (("user", " ann "), ("object", "/machines/abc/"), ("result", "failed"), ("since", "2026-11-21T08:00"))
    wanted = read_filters(WebRequest(method="GET", path="/", query=query)).wanted
    assert wanted is not None
    assert (wanted.username, wanted.object, wanted.result) == ("ann", "machines/abc", AuditResult.FAILED)
    assert (wanted.since, wanted.until) == (datetime(2026, 11, 21, 8, tzinfo=UTC), None)


def test_an_invalid_time_is_a_problem_of_its_field() -> None:
    filters = read_filters(WebRequest(method="GET", path="/", query=(("until", "tomorrow"),)))
    assert (filters.wanted, list(filters.problems)) == (None, ["until"])
    assert filters.texts["until"] == "tomorrow"


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "\N{SUPERSCRIPT TWO}"])
def test_a_place_in_the_trail_that_cannot_be_is_ignored(before: str) -> None:
    wanted = read_filters(WebRequest(method="GET", path="/", query=(("before", before),))).wanted
    assert wanted is not None
    assert wanted.before_id is None


def test_a_group_without_hosts_has_no_meters() -> None:
    zones = (Zone(id=1, name="default", description=""), Zone(id=2, name="east", description=""))
    cores = ResourceCapacity(total=8, claimable=8, claimed=2, free=6)
    counted = GroupCapacity(
        name="east", states={"ready": 2}, servers=1, capacity=Capacity(cores=cores), unreachable_servers=1,
        unreachable=Capacity(),
    )  # fmt: skip
    empty, east = group_rows(zones, [counted], {}, default_id=1)
    assert (empty.is_default, empty.hosts, empty.cores) == (True, 0, None)
    assert east.cores is not None
    assert (east.is_default, east.hosts, east.unreachable, east.cores.free) == (False, 2, 1, "6")


def test_only_a_limit_has_a_meter() -> None:
    quota = Quota(id=1, username="ann", limits=Limits(memory_mib=1024), used=Holdings(machines=3, memory_mib=2048))
    machines, _, memory, _ = uses(quota)
    assert (machines.text, machines.meter) == ("3", None)
    assert memory.meter is not None
    assert (memory.meter.used, memory.meter.whole, memory.meter.over) == ("2", "1", "1")


def test_a_refused_form_has_its_problems_of() -> None:
    assert Refusal.of(InvalidRequest.of({"name": ["a"], "__all__": ["b"]})) == Refusal(
        status=422, problems={"name": ["a"], "": ["b"]}
    )
    assert Refusal.of(NameTaken("taken")) == Refusal(status=409, problems={"": ["taken"]})
