"""What the address of a list asks for, and a list as a file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.hosts.capacity import Capacity, ResourceCapacity
from common.units import BYTES_PER_GB
from common.values import DriverType
from regiond.api.resources.accounts.lists import COLUMNS
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.api.serializers.vm_hosts.hosts import HOST_JSON
from regiond.hosts.model import CONSOLE_TAG, HostState
from regiond.hosts.search.fields import HOST_FIELDS, HostFacts, matches
from regiond.hosts.views.host_condition import HostCondition, judge
from regiond.requests.long_list import LongList
from regiond.requests.search_query import parse, resolved
from regiond.ui.hosts import export_page as host_export
from regiond.ui.hosts.list_page import HOSTS
from regiond.ui.lists.csv_lines import cell
from regiond.ui.lists.export import csv_chunks
from regiond.ui.lists.list_kind import ListTools, shown_columns, whole_query
from regiond.ui.lists.saved_pages import _list_address as list_address
from regiond.ui.machines import export_page as vm_export
from regiond.ui.machines.machine_search import EVERYWHERE, VMS, of_cluster, of_host
from regiond.ui.web_request import WebRequest
from tests.unit.support.host_samples import HOST
from tests.unit.support.machine_samples import MACHINE

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
FREE = Capacity(
    cores=ResourceCapacity(total=32, claimable=32, free=8),
    memory_mib=ResourceCapacity(total=65536, claimable=65536, free=16384),
    storage_bytes=ResourceCapacity(total=2000 * BYTES_PER_GB, claimable=2000 * BYTES_PER_GB, free=50 * BYTES_PER_GB),
)
FACTS = HostFacts(
    id=1, name="hv-01", driver=DriverType.LIBVIRT, address="qemu+ssh://10.0.0.5/system", project="", zone="east",
    pool="staging", cluster=None, tags=("gpu", CONSOLE_TAG), architecture="amd64", version="9.0.0",
    judgement=judge(HostState.READY, None, NOW, NOW, in_maintenance=False), needs_attention=False, machines=3,
    capacity=FREE,
)  # fmt: skip
NAMES = {
    "pool": ("default", "staging"), "zone": ("default", "east"), "cluster": ("main",), "project": (),
    "tag": ("gpu", "ssd"), "arch": ("amd64", "arm64"),
}  # fmt: skip


def _request(*query: tuple[str, str], path: str = "/MAAS/ui/vms") -> WebRequest:
    return WebRequest(method="GET", path=path, query=query)


def _tools(*query: tuple[str, str]) -> ListTools:
    request = _request(*query)
    return ListTools(
        kind=VMS, request=request, path=request.path, place="vms", offered=VMS.columns, columns=(), exports="/x?a=1"
    )


def test_filters_of_the_address_are_part_of_the_search() -> None:
    request = _request(("q", " web "), ("show", "attention"), ("pool", "two words"), ("state", "ready"), ("owner", ""))
    assert whole_query(VMS, request) == 'web is:attention state:ready pool:"two words"'
    assert whole_query(VMS, _request(("show", "nothing"), ("colour", "red"))) == ""


def test_columns_are_those_of_the_address_then_the_chosen_ones() -> None:
    offered = ("host", "cores", "owner")
    assert shown_columns(_request(("columns", "owner"), ("columns", "none")), offered, ("host",), offered) == ("owner",)
    assert shown_columns(_request(), offered, ("owner", "host", "gone"), offered) == ("host", "owner")
    assert shown_columns(_request(), offered, (), offered) == ()
    assert shown_columns(_request(), offered, None, ("cores",)) == ("cores",)


def test_an_export_has_the_search_but_not_the_page() -> None:
    tools = _tools(
        ("q", "web"), ("page", "3"), ("size", "25"), ("columns", "host"), ("group", "pool"), ("sort", "-cores")
    )
    assert tools.export("csv") == "/x?a=1&format=csv&q=web&sort=-cores"
    assert tools.back == "/MAAS/ui/vms?q=web&size=25&group=pool&sort=-cores"
    assert tools.can_save


def test_the_columns_of_the_pages_are_those_of_the_api() -> None:
    scopes = (EVERYWHERE, of_host(1), of_cluster(1, (1,)))
    assert {"hosts": tuple(HOSTS.columns), **{one.place: tuple(one.columns) for one in scopes}} == COLUMNS


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("/MAAS/ui/vms", True),
        ("/MAAS/ui/hosts/3/vms?q=a%20b&group=host", True),
        ("/MAAS/ui/clusters/3/vms", True),
        ("//evil.example/MAAS/ui/vms", False),
        ("https://evil.example/MAAS/ui/vms", False),
        ("/MAAS/ui/vms\r\nSet-Cookie: a", False),
        ("/MAAS/ui/settings", False),
        ("", False),
    ],
)
def test_a_form_returns_only_to_a_list(address: str, *, is_one: bool) -> None:
    assert (list_address(address) is not None) == is_one


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("", True), ("HV staging", True), ("10.0.0", True), ("-gpu", False), ("name:hv -zone:default", True),
        ("zone:east zone:default", True), ("tag:gpu", True), ("tag:gpu+ssd", False), ("tag:none", False),
        ("type:libvirt", True), ("type:lxd", False), ("state:connected", True), ("is:open", True),
        ("is:attention", False), ("-is:attention", True), ("cluster:none", True), ("cluster:main", False),
        ("free_cores:>=8", True), ("free_cores:>8", False), ("free_ram:16", True), ("ram:>=64GiB", True),
        ("storage:2TB", True), ("free_storage:<50", False), ("vms:3", True), ("-vms:3", False), ("version:9.", True),
        ("arch:arm64", False), ("pod-console", False),
    ],
)  # fmt: skip
def test_hosts_are_found_by_their_facts(text: str, *, is_found: bool) -> None:
    query = resolved(parse(text, HOST_FIELDS), HOST_FIELDS, NAMES)
    assert matches(query, FACTS) == is_found


def test_a_host_has_one_condition_whatever_its_facts() -> None:
    old, never = NOW - timedelta(hours=1), None
    errors = (None, "host_unreachable", "peer_changed", "server_unconfirmed", "not_trusted")
    for state, error, refreshed_at, closed in product(HostState, errors, (NOW, old, never), (False, True)):
        judged = judge(state, error, refreshed_at, NOW, in_maintenance=closed)
        if judged.is_open:
            assert state is HostState.READY
            assert not closed
        if state is HostState.REMOVING:
            assert judged.condition is HostCondition.REMOVING
        assert judged.needs_attention == (
            judged.condition not in {HostCondition.CONNECTED, HostCondition.CLOSED, HostCondition.REMOVING}
            and (judged.condition is not HostCondition.NOT_REACHED or error is not None)
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (4, "4"), (-4, "-4"), (1.5, "1.5"), ("web-1", "web-1"), (("a", "b"), "a b"),
        ((), ""), ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2", "'-2"), ("+2", "'+2"), ("\t=1", "'\t=1"),
        (("=cmd", "b"), "'=cmd b"), ("\r=1", "'\r=1"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(value: Any, text: str) -> None:
    assert cell(value) == text


@given(st.lists(st.text(), max_size=5))
async def test_a_csv_file_has_what_the_api_answers(texts: list[str]) -> None:
    rows = [{"name": text, "pool": {"name": text}, "none": None} for text in texts]
    chunks = [chunk async for chunk in csv_chunks(LongList.of(rows), lambda row: row, ("name", "pool.name", "none.x"))]
    head, *found = csv.reader(io.StringIO(b"".join(chunks).decode(), newline=""))
    assert head == ["name", "pool.name", "none.x"]
    assert found == [[cell(text), cell(text), ""] for text in texts]


async def test_a_long_file_is_sent_in_batches() -> None:
    read: list[int] = []

    async def some(keys: Any) -> list[dict[str, int]]:
        read.append(len(keys))
        return [{"id": key} for key in keys]

    chunks = csv_chunks(LongList(keys=range(120), read=some), lambda row: row, ("id",))
    await anext(chunks)
    assert read == []
    await anext(chunks)
    assert read == [50]
    await chunks.aclose()


def test_the_columns_of_a_file_are_keys_of_the_api() -> None:
    for columns, encoded in (
        (vm_export.COLUMNS, MACHINE_JSON.encode(MACHINE)), (host_export.COLUMNS, HOST_JSON.encode(HOST)),
    ):  # fmt: skip
        for column in columns:
            found: Any = encoded
            for key in column.split("."):
                assert found is None or key in found, column
                found = None if found is None else found[key]
            assert not isinstance(found, dict), column
