"""Real Incus in the first tier: trust by token, and the life of a machine. The area `incus` has more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest

from common.errors import NotTrusted
from common.values import GuestChange, GuestEvent, PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.support.guest_samples import volumes_of
from tests.lab.servers.incus_server import IncusServer, incus_server, why_no_incus
from tests.lab.servers.needs import require
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.lxd_specs import small_spec
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

GRACE_S = 0.1
VERSION = "6"  # the smaller one to install


@pytest.fixture
def incus() -> IncusServer:
    """The lab's server, started by the first test."""
    require(why_no_incus(VERSION))
    return incus_server(VERSION)


@pytest.fixture
def pair(incus: IncusServer) -> Iterator[KeyPair]:
    """A pair that the server does not trust yet."""
    made = make_key_pair(f"ikslice-{uuid4().hex[:6]}")
    yield made
    incus.remove_trust(made)


@pytest.fixture
def driver(incus: IncusServer, pair: KeyPair) -> Iterator[LxdDriver]:
    opened = LxdDriverFactory().open(incus.access(pair))
    yield opened
    opened.close()


def test_a_token_lets_the_certificate_in_once(incus: IncusServer, pair: KeyPair, driver: LxdDriver) -> None:
    with pytest.raises(NotTrusted, match="incus config trust add"):
        driver.discover()
    token = incus.token("ikslice")
    driver.trust(pair.certificate_pem, "ikslice", token)
    assert driver.discover().facts.product == "Incus"
    driver.untrust(pair.fingerprint)
    with pytest.raises(NotTrusted, match="token"):
        driver.trust(pair.certificate_pem, "ikslice", token)


async def test_a_machine_is_made_switched_watched_and_deleted(
    incus: IncusServer, pair: KeyPair, driver: LxdDriver
) -> None:
    incus.add_trust(pair)
    volumes = incus.volumes()
    wanted = small_spec(f"ikslice-{uuid4().hex[:6]}", ("default",) * 2, product="Incus")
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(driver.watch, seen.append)
    made = await asyncio.to_thread(driver.compose, wanted)
    assert [disk.volume for disk in made.disks] == [disk.volume for disk in wanted.disks]
    for action, state in ((PowerAction.ON, PowerState.ON), (PowerAction.FORCE_OFF, PowerState.OFF)):
        assert await asyncio.to_thread(driver.power, wanted.ref, action, grace_s=GRACE_S) is state
    await asyncio.to_thread(driver.decompose, wanted.ref, volumes_of(wanted))
    await eventually(lambda: any(one.event is GuestEvent.GONE for one in seen))
    await asyncio.to_thread(stop)
    ours = [(one.event, one.power) for one in seen if one.guest_name == wanted.name]
    assert [one for one in ours if one[0] is not GuestEvent.CHANGED] == [
        (GuestEvent.APPEARED, None),
        (GuestEvent.POWER, PowerState.ON),
        (GuestEvent.POWER, PowerState.OFF),
        (GuestEvent.GONE, None),
    ]
    assert (incus.instances(wanted.name), incus.volumes()) == (set(), volumes)
