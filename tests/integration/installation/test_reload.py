"""A running region applies changed settings: each that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields

from common.errors import TooManyAttempts
from common.process.settings import reloadable
from regiond.process.settings import RegionSettings
from regiond.requests.caller import Caller
from regiond.requests.request_limits import RequestLimits
from regiond.wiring.reload import apply_settings
from tests.deployment.deployment import Deployment
from tests.support.rejections import rejection

pytestmark = pytest.mark.database

ADA = Caller(account_id=7, username="ada", is_admin=True)
CHANGED = RegionSettings(
    requests_per_s=1,
    expensive_requests_per_s=2,
    anonymous_requests_per_s=3,
    rate_limit_exempt=("192.0.2.0/24",),
    password_min_length=20,
    keep_operations_days=11,
    keep_events_days=12,
    keep_audit_days=13,
    keep_idempotency_keys_days=14,
    log_level="debug",
)


def test_the_test_changes_every_setting_that_can_change() -> None:
    default = RegionSettings()
    names = {one.name for one in fields(RegionSettings) if getattr(CHANGED, one.name) != getattr(default, one.name)}
    assert names == reloadable(RegionSettings)


def take_many(limits: RequestLimits, address: str) -> None:
    for _ in range(1000):
        limits.take(ADA, address)


@pytest.mark.slow
async def test_a_running_region_applies_what_has_changed(innkeeper: Deployment, tmp_path: Path) -> None:
    components = innkeeper.region.components
    unlogged = reloadable(RegionSettings) - {"log_level"}  # which would change the log of the tests
    apply_settings(components, evolve(CHANGED, state=tmp_path), unlogged)
    limits, retention = components.limits, components.housekeeping.retention
    for _ in range(10):  # the burst of 10 s
        limits.take(ADA, "198.51.100.1")
    with pytest.raises(TooManyAttempts, match="requests_per_s"):
        take_many(limits, "198.51.100.1")  # also what has come since
    for _ in range(100):
        limits.take(ADA, "192.0.2.1")
    assert (retention.periods.operations.days, retention.periods.idempotency_keys.days) == (11, 14)
    services = components.services
    assert (services.events.retention.days, services.audit.retention.days) == (12, 13)
    bob: Any = {"username": "bob", "email": "bob@example.net", "password": "x" * 19, "is_superuser": "false"}
    refused = await rejection(innkeeper.post("users/", **bob))
    assert "at least 20 characters" in str(refused.details)
