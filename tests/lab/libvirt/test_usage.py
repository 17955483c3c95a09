"""The usage of booted guests on real QEMU: a loop that never waits, and a processor that is halted."""

from __future__ import annotations

import time

from common.guests.guest_spec import GuestSpec
from common.values import PowerAction
from rackd.drivers.contract import Driver
from rackd.usage.history import HostHistory, Reading
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.support.libvirt_specs import small_spec
from tests.support.waiting import eventually

EVERY_S = 2.0
LOOP_SEEN_WITHIN_S = 10.0
BOOTED_WITHIN_S = 60.0
MOST, LITTLE = 0.4, 0.2  # of a core: other tests need this computer's, too


def cores_used(driver: Driver, history: HostHistory, spec: GuestSpec) -> float | None:
    """Takes a sample, and returns the CPU that the guest has used since the one before."""
    reading = Reading(counters=driver.usage(), at_s=time.time(), clock_s=time.monotonic())
    history.add(reading, room=10)
    assert history.newest is not None
    return next((one.usage.cpu_cores for one in history.newest.guests if one.name == spec.name), None)


async def test_usage_follows_a_busy_loop_and_a_halted_processor(qemu: QemuFixture) -> None:
    busy, halted = small_spec(qemu, "busy"), small_spec(qemu, "halted")
    busy_history, halted_history = HostHistory(1), HostHistory(1)
    for spec, prepare in ((busy, qemu.shown_for_hello), (halted, qemu.greet_on_boot)):
        qemu.driver.compose(spec)
        prepare(spec)
        qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    await eventually(
        lambda: (cores_used(qemu.driver, busy_history, busy) or 0.0) > MOST,
        deadline_s=LOOP_SEEN_WITHIN_S,
        every_s=EVERY_S,
    )

    def is_idle() -> bool:
        found = cores_used(qemu.driver, halted_history, halted)
        return found is not None and found < LITTLE

    await eventually(is_idle, deadline_s=BOOTED_WITHIN_S, every_s=EVERY_S)
    host = halted_history.newest
    assert host is not None
    assert host.usage.cpu_cores is not None
    assert host.usage.memory_used_bytes is not None
    assert not {"cpu_cores", "memory_used_bytes"} & set(host.summed)
