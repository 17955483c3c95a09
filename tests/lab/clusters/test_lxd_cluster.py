"""The LXD driver on a real cluster: each member is a server, and one credential serves all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import HostUnreachable
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.lxd_specs import small_spec
from tests.support.same_facts import without_other_use
from tests.support.waiting import eventually

Members = tuple[LxdServer, ...]

pytestmark = pytest.mark.every_product


def opened(through: LxdServer, pair: KeyPair, member: str | None) -> LxdDriver:
    return LxdDriverFactory().open(evolve(through.access(pair), member=member))


def test_each_member_is_one_server_at_any_address(lxd_cluster: Members, cluster_pair: KeyPair) -> None:
    first, second = lxd_cluster[:2]
    direct = opened(second, cluster_pair, None)
    through = opened(first, cluster_pair, second.name)
    other = opened(first, cluster_pair, first.name)
    facts = direct.discover().facts
    found = through.discover().facts
    assert without_other_use(facts) == without_other_use(found)
    assert facts.cluster_member == second.name
    assert other.discover().facts.server_identity != facts.server_identity
    assert [(one.name, one.address, one.online) for one in facts.cluster_members] == [
        (one.name, one.address, True) for one in lxd_cluster
    ]
    for driver in (direct, through, other):
        driver.close()


def test_machines_moved_to_another_member_are_found(lxd_cluster: Members, cluster_pair: KeyPair) -> None:
    first, second = lxd_cluster[:2]
    prefix = f"ikmv-{uuid4().hex[:6]}-"
    here, there = opened(first, cluster_pair, first.name), opened(first, cluster_pair, second.name)
    wanted = small_spec(f"{prefix}vm", product=first.product)
    composed = here.compose(wanted)
    assert composed.member == first.name
    first.lxc("move", wanted.name, "--target", second.name)
    try:
        assert wanted.name not in {guest.name for guest in here.discover().guests}
        (listed,) = [guest for guest in there.discover().guests if guest.name == wanted.name]
        assert listed == evolve(composed, member=second.name)
        assert here.find(wanted.ref) == listed
        assert here.compose(wanted) == listed
        assert here.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
        here.decompose(wanted.ref)
        assert there.find(wanted.ref) is None
    finally:
        first.sweep(prefix)
        here.close()
        there.close()


async def test_guests_of_a_down_member_are_never_reported_missing(lxd_cluster: Members, cluster_pair: KeyPair) -> None:
    first, second = lxd_cluster[:2]
    prefix = f"ikoff-{uuid4().hex[:6]}-"
    here, there = opened(first, cluster_pair, first.name), opened(first, cluster_pair, second.name)
    wanted = small_spec(f"{prefix}there", product=first.product)
    there.compose(wanted)
    second.kill()
    try:
        unknown: list[Callable[[], object]] = [
            there.discover,
            lambda: there.find(wanted.ref),
            lambda: here.find(wanted.ref),
            lambda: there.decompose(wanted.ref),
            lambda: there.power(wanted.ref, PowerAction.ON, grace_s=1),
            lambda: there.disown("", wanted.name, wanted.marker),
        ]
        for call in unknown:
            with pytest.raises(HostUnreachable, match=second.name):
                call()
        assert here.discover().facts.cluster_member == first.name
        assert here.compose(small_spec(f"{prefix}here", product=first.product)).member == first.name
        first.make_many(f"{prefix}foreign", "default", range(1))
        foreign = next(guest for guest in here.discover().guests if guest.name == f"{prefix}foreign0")
        marker = evolve(wanted.marker, machine_id=uuid4())
        assert here.adopt(foreign.guest_id, foreign.name, marker).marker == marker  # its member answers
    finally:
        second.start()
    await eventually(lambda: asyncio.to_thread(is_reachable, there))
    found = there.find(wanted.ref)
    assert found is not None
    assert found.marker == wanted.marker
    first.sweep(prefix)
    here.close()
    there.close()


def is_reachable(driver: LxdDriver) -> bool:
    try:
        driver.discover()
    except HostUnreachable:
        return False
    return True


def test_one_key_pair_serves_all_members(lxd_cluster: Members, cluster_pair: KeyPair) -> None:
    for member in lxd_cluster:
        driver = opened(member, cluster_pair, None)
        assert driver.reach()
        assert cluster_pair.fingerprint in member.trusted()
        driver.close()


def test_a_token_is_sent_to_the_member_that_created_it(lxd_cluster: Members) -> None:
    first, second = lxd_cluster[:2]
    stranger = make_key_pair("ik-token-elsewhere")
    driver = opened(first, stranger, None)
    try:
        driver.trust(stranger.certificate_pem, "ik-token-elsewhere", second.token("ik-token-elsewhere"))
        assert driver.reach()
        assert stranger.fingerprint in first.trusted()
    finally:
        driver.close()
        first.remove_trust(stranger)
