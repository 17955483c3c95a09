"""What a host and its running guests use, in one bulk read."""

from __future__ import annotations

import pytest
from attrs import asdict

from common.values import PowerAction
from rackd.drivers.usage_counters import GuestCounters
from tests.contract.support.driver_fixtures import EVERY_HOST, DriverFixture, spec_for
from tests.support.waiting import eventually

pytestmark = EVERY_HOST

COUNTERS = ("cpu_ns", "read_bytes", "written_bytes", "received_bytes", "sent_bytes")


CACHED_S = 20.0  # LXD answers with the metrics of eight seconds ago
EVERY_S = 0.5


def usage_of(host: DriverFixture, name: str) -> list[GuestCounters]:
    return [one for one in host.driver.usage().guests if one.name == name]


@pytest.mark.clusters
async def test_a_running_guest_has_counters_that_never_fall(host: DriverFixture) -> None:
    spec = spec_for(host, "usage")
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    before = await measured(host, spec.name)
    (after,) = usage_of(host, spec.name)
    first, second = asdict(before), asdict(after)
    for name in COUNTERS:
        assert (first[name] is None) == (second[name] is None)
        assert first[name] is None or 0 <= first[name] <= second[name]
    assert before.cpu_ns is not None
    assert before.memory_bytes is None or before.memory_used_bytes is None or before.memory_bytes > 0


async def measured(host: DriverFixture, name: str) -> GuestCounters:
    await eventually(lambda: usage_of(host, name), deadline_s=CACHED_S, every_s=EVERY_S)
    (found,) = usage_of(host, name)
    return found


async def test_a_guest_that_is_off_uses_nothing(host: DriverFixture) -> None:
    spec = spec_for(host, "usage-off")
    host.driver.compose(spec)
    assert usage_of(host, spec.name) == []
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    await measured(host, spec.name)
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    await eventually(lambda: not usage_of(host, spec.name), deadline_s=CACHED_S, every_s=EVERY_S)


async def test_a_foreign_guest_is_measured_too(host: DriverFixture) -> None:
    name = f"{host.prefix}usage-foreign"
    host.make_foreign(name)
    host.start(name)
    assert (await measured(host, name)).cpu_ns is not None


@pytest.mark.clusters
def test_the_number_of_calls_does_not_grow_with_guests(host: DriverFixture) -> None:
    host.driver.usage()  # a cluster's member is found once
    one = host.driver.usage().calls
    for index in range(3):
        host.make_foreign(f"{host.prefix}usage-{index}")
        host.start(f"{host.prefix}usage-{index}")
    assert 1 <= host.driver.usage().calls == one


@pytest.mark.parametrize("field", ["cpu_ns", "memory_used_bytes"])
def test_a_host_reports_all_of_its_memory_or_nothing(host: DriverFixture, field: str) -> None:
    found = host.driver.usage()
    value = getattr(found, field)
    assert value is None or value >= 0
    if found.memory_used_bytes is not None:
        assert found.memory_bytes is not None
        assert found.memory_used_bytes <= found.memory_bytes
