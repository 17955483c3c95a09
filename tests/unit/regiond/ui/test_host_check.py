"""The first look at a host: each line says what was found and what would mend it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from common.values import HostNetwork, NicKind
from regiond.ui.hosts.host_check import FAIL, OK, WARN, CheckLine, host_check
from tests.unit.support.host_samples import HOST

NOW = datetime(2026, 11, 21, tzinfo=UTC)
INACTIVE = evolve(HOST.storage_pools[0], name="slow", status="inactive")
BRIDGE = HostNetwork(kind=NicKind.BRIDGE, name="br0")


def line(subject: str, **changes: Any) -> CheckLine:
    host = evolve(HOST, **changes)
    return next(one for one in host_check(host, NOW) if one.subject == subject)


@pytest.mark.parametrize(
    ("subject", "changes", "outcome", "found"),
    [
        ("Reachable", {"refreshed_at": NOW}, OK, "Answered"),
        ("Reachable", {"error_code": "host_unreachable", "error_message": "No route."}, FAIL, "No route."),
        ("Reachable", {"refreshed_at": None}, WARN, "No answer yet"),
        ("Storage pools", {"storage_pools": ()}, FAIL, "None"),
        ("Storage pools", {"storage_pools": (INACTIVE,)}, FAIL, "inactive)"),
        ("Storage pools", {"storage_pools": (*HOST.storage_pools[:1], INACTIVE)}, WARN, "inactive)"),
        ("Networks", {"networks": ()}, WARN, "None that a VM can be attached to"),
        ("Networks", {"networks": (evolve(BRIDGE, attachable=False),)}, WARN, "None that a VM can be attached to"),
        ("Networks", {"networks": (BRIDGE, evolve(BRIDGE, name="a1", dhcp=True))}, OK, "a1 (DHCP), br0"),
        ("Our certificate", {"certificate_expires_at": NOW + timedelta(days=40)}, OK, "40 days left"),
        ("Our certificate", {"certificate_expires_at": NOW + timedelta(days=3)}, WARN, "3 days left"),
        ("Our certificate", {"certificate_expires_at": NOW - timedelta(days=3)}, FAIL, "Expired 18 November 2026"),
    ],
)
def test_each_finding_has_an_outcome(subject: str, changes: dict[str, Any], outcome: str, found: str) -> None:
    one = line(subject, **changes)
    assert one.outcome == outcome
    assert found in one.found
    assert bool(one.remedy) is (outcome != OK)
