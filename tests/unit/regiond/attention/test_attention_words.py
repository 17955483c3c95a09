"""What items that need attention say, and which quotas are nearly used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.words.messages import message
from regiond.attention.model import (
    AttentionFilter,
    AttentionItem,
    AttentionKind,
    Found,
    ObjectType,
    Severity,
)
from regiond.attention.quota_use import nearly_used
from regiond.attention.wording import HIDDEN_CAUSE, item_of
from regiond.hosts.views.host_condition import stale_after
from regiond.quotas.model import Holdings, Limits, Quota

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GB = 10**9
_K, _T = AttentionKind, ObjectType
_FACTS: dict[AttentionKind, tuple[ObjectType, dict[str, Any]]] = {
    _K.VM_MISSING: (_T.VM, {"error": ""}),
    _K.VM_VOLUME_MISSING: (_T.VM, {"power_state": "on", "volumes": ["a", "b", "c", "d"]}),
    _K.VM_SHOULD_RUN: (
        _T.VM,
        {"unclear": False, "moved": False, "maintenance": False, "autostart": True, "tries": 1, "error": "No room."},
    ),
    _K.VM_BROKEN: (_T.VM, {"error": "smells of smoke"}),
    _K.VM_FAILED_DEPLOYMENT: (_T.VM, {"error": "The guest did not report."}),
    _K.VM_FAILED_COMPOSE: (_T.VM, {"error": "No room."}),
    _K.VM_FAILED: (_T.VM, {"error": ""}),
    _K.HOST_UNREACHABLE: (
        _T.HOST, {"code": "host_unreachable", "error": "connection refused", "reached": True, "others": []},
    ),
    _K.HOST_REJECTED: (
        _T.HOST, {"code": "peer_changed", "error": "another certificate", "details": None, "driver": "lxd"},
    ),
    _K.HOST_NOT_TRUSTED: (
        _T.HOST, {"code": "not_trusted", "error": "not trusted yet", "details": {}, "driver": "lxd"},
    ),
    _K.HOST_STALE: (_T.HOST, {"code": None, "error": None, "reached": True}),
    _K.HOST_OVERCOMMITTED: (_T.HOST, {"cores": [9, 8], "memory_mib": [266_240, 253_952]}),
    _K.HOST_PROBLEM: (_T.HOST, {"problems": [{"subject": "guest x", "message": "cannot be read"}] * 5}),
    _K.STORAGE_POOL_UNAVAILABLE: (_T.STORAGE_POOL, {"status": "errored", "missing": False, "total": 0, "used": 0}),
    _K.STORAGE_POOL_FULL: (
        _T.STORAGE_POOL, {"status": "available", "missing": False, "total": 3840 * GB, "used": 3610 * GB},
    ),
    _K.QUOTA_FULL: (_T.QUOTA, {"uses": [message("{n} of {most} VMs", n="9", most="10")], "is_full": False}),
    _K.RACK_AWAY: (_T.RACK, {"seen": True, "hosts": ["elm"]}),
    _K.CERTIFICATE_EXPIRING: (_T.HOST, {"expires_at": (NOW + timedelta(days=12)).isoformat()}),
    _K.SERVER_CERTIFICATE_EXPIRING: (
        _T.HOST, {"expires_at": (NOW + timedelta(days=12)).isoformat(), "in_cluster": False, "product": "LXD"},
    ),
    _K.CLIENT_CERTIFICATE_EXPIRING: (_T.RPC_CLIENT, {"expires_at": (NOW + timedelta(hours=12)).isoformat()}),
    _K.DISCREPANCY: (
        _T.DISCREPANCY,
        {"found": "a guest", "expected": "none", "remedy": "This deletes the guest.", "policy": "approval"},
    ),
    _K.OPERATION_WAITING: (
        _T.OPERATION, {"kind": "compose", "action": None, "error": None, "machine": "web-1", "host": "elm"},
    ),
    _K.IMAGE_FAILED: (_T.IMAGE, {"error": "404", "url": "https://a/b"}),
    _K.BACKUP_OLD: (_T.REGION, {"saved_at": "2026-11-20T03:00:00+00:00", "hours": 48}),
}  # fmt: skip


def found(kind: AttentionKind, **changed: Any) -> Found:
    object_type, facts = _FACTS[kind]
    made = Found(
        kind=kind, object_type=object_type, object_id="1", name="web-1", broken=True, since=NOW, host_id=3,
        host_name="elm", pool="lab", zone="east", facts=facts,
    )  # fmt: skip
    return evolve(made, **changed)


def words(kind: AttentionKind, *, is_admin: bool = True, **facts: Any) -> AttentionItem:
    one = found(kind)
    return item_of(evolve(one, facts={**one.facts, **facts}), NOW, is_admin=is_admin)


@pytest.mark.parametrize("kind", AttentionKind)
def test_every_kind_says_what_is_wrong_and_what_helps(kind: AttentionKind) -> None:
    item = words(kind)
    assert item.what
    assert not item.what.endswith(".")
    for sentences in (item.cause, item.remedy):
        assert not sentences or sentences.endswith((".", "!", "?"))
    assert item.remedy
    assert item.text.startswith("web-1 ")


def test_amounts_above_a_limit_are_said_in_numbers() -> None:
    item = words(_K.HOST_OVERCOMMITTED)
    assert item.what == "has over-committed cores and RAM"
    assert item.cause == "9 of 8 cores and 260 of 248 GiB of RAM are claimed, VMs of others included."
    assert words(_K.HOST_OVERCOMMITTED, cores=[1, 8]).what == "has over-committed RAM"
    item = words(_K.STORAGE_POOL_FULL)
    assert (item.what, item.cause) == ("is nearly full", "3.61 of 3.84 TB are claimed or in other use (94 %).")
    assert words(_K.STORAGE_POOL_FULL, used=3840 * GB).what == "is full"


def test_long_causes_are_cut() -> None:
    assert words(_K.VM_VOLUME_MISSING).cause == "elm no longer has the volumes a, b, c and 1 more."
    assert words(_K.HOST_PROBLEM).cause.endswith("guest x: cannot be read. And 2 more.")


@pytest.mark.parametrize(
    ("object_type", "left", "expected"),
    [
        (_T.HOST, timedelta(days=12), "has credentials that expire in 12 days"),
        (_T.RACK, timedelta(hours=20), "has a certificate that expires in 20 hours"),
        (_T.REGION, -timedelta(days=1), "has a certificate that has expired"),
        (_T.HOST, -timedelta(days=1), "has credentials that have expired"),
    ],
)
def test_a_certificate_says_when_it_expires(object_type: ObjectType, left: timedelta, expected: str) -> None:
    facts = {"expires_at": NOW + left}
    one = found(_K.CERTIFICATE_EXPIRING, object_type=object_type, broken=left < timedelta(), facts=facts)
    assert item_of(one, NOW, is_admin=True).what == expected


def test_texts_of_servers_are_only_for_administrators() -> None:
    assert words(_K.HOST_UNREACHABLE).cause == "connection refused."
    assert words(_K.HOST_UNREACHABLE, is_admin=False).cause == HIDDEN_CAUSE


def test_an_id_lasts_as_long_as_the_condition() -> None:
    first, later = (item_of(found(_K.VM_MISSING, since=since), NOW, is_admin=True).id for since in (NOW, None))
    assert first == later == "vm_missing-vm-1"


def test_a_filter_has_to_match_in_all_respects() -> None:
    one = found(_K.VM_MISSING)
    for wanted in (
        AttentionFilter(), AttentionFilter(kinds=(_K.VM_MISSING,)), AttentionFilter(pools=("lab",), zones=("east",)),
        AttentionFilter(text="WEB"), AttentionFilter(text="el"), AttentionFilter(host_id=3),
        AttentionFilter(object_type=_T.VM, object_id="1"),
    ):  # fmt: skip
        assert wanted.matches(one), wanted
    for wanted in (
        AttentionFilter(kinds=(_K.VM_BROKEN,)), AttentionFilter(pools=("lab",), zones=("west",)),
        AttentionFilter(text="db"), AttentionFilter(host_id=4), AttentionFilter(object_type=_T.HOST, object_id="1"),
    ):  # fmt: skip
        assert not wanted.matches(one), wanted


def test_data_are_old_after_two_missed_refreshes_or_ten_minutes() -> None:
    assert stale_after(300) == timedelta(minutes=10)
    assert stale_after(3600) == timedelta(hours=2)


def quota(**used: int) -> Quota:
    limits = Limits(machines=10, memory_mib=20_480, storage_bytes=0)
    return Quota(id=7, account_id=2, username="ann", limits=limits, used=Holdings(**used))


def test_a_nearly_used_quota_names_what_is_used() -> None:
    assert nearly_used(quota(machines=8, cores=100), 90, {}) is None
    near = nearly_used(quota(machines=9, memory_mib=20_480), 90, {"quota 7": NOW - timedelta(hours=1)})
    assert near is not None
    assert near.since == NOW - timedelta(hours=1)
    item = item_of(near, NOW, is_admin=False)
    assert item.severity is Severity.CAUTION
    assert item.text == "The quota of user ann is used up. 9 of 10 VMs, 20 of 20 GiB of RAM are held."


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(1, 100))
def test_a_quota_is_nearly_used_from_the_per_cent_on(used: int, limit: int, percent: int) -> None:
    one = Quota(id=1, pool_id=0, pool="lab", limits=Limits(cores=limit), used=Holdings(cores=used))
    assert (nearly_used(one, percent, {}) is not None) == (used / limit * 100 >= percent - 1e-9)
