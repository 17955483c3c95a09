"""Contract of consoles: the end of what a guest writes to its serial port."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import NotFound
from common.values import PowerAction
from tests.contract.driver_fixtures import Capability, CapableFixture, requires, spec_for
from tests.contract.guest_samples import volumes_of
from tests.waiting import eventually

MAX_BYTES = 4096

pytestmark = requires(Capability.CONSOLE_LOG)


async def test_the_serial_log_has_what_the_guest_wrote(host: CapableFixture) -> None:
    spec = spec_for(host, "writes")
    await asyncio.to_thread(host.driver.compose, spec)
    assert host.driver.console_log(spec.ref, max_bytes=MAX_BYTES) == b""
    greeting = host.greet_on_boot(spec).strip()
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    await eventually(lambda: greeting in host.driver.console_log(spec.ref, max_bytes=MAX_BYTES))


async def test_only_the_end_of_the_serial_log_is_returned(host: CapableFixture) -> None:
    spec = spec_for(host, "bounded")
    await asyncio.to_thread(host.driver.compose, spec)
    greeting = host.greet_on_boot(spec).strip()
    await asyncio.to_thread(host.driver.power, spec.ref, PowerAction.ON, grace_s=0.1)
    await eventually(lambda: greeting in host.driver.console_log(spec.ref, max_bytes=MAX_BYTES))
    whole = host.driver.console_log(spec.ref, max_bytes=MAX_BYTES)
    assert host.driver.console_log(spec.ref, max_bytes=5) == whole[-5:]


def test_the_serial_log_is_removed_with_the_guest(host: CapableFixture) -> None:
    before = host.volumes()
    spec = spec_for(host, "removed")
    host.driver.compose(spec)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert host.volumes() == before
    with pytest.raises(NotFound, match=spec.name):
        host.driver.console_log(spec.ref, max_bytes=MAX_BYTES)
