"""A member of a real cluster is killed while it works: the next call finds what is there and completes it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from common.errors import HostUnreachable
from common.values import PowerAction, PowerState
from tests.contract.support.guest_samples import volumes_of
from tests.lab.clusters.test_lxd_cluster import is_reachable, opened
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair
from tests.lab.support.lxd_specs import Fatal, driver_through, small_spec
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

Members = tuple[LxdServer, ...]


@pytest.mark.parametrize("at_call", [8, 11, 13])
async def test_a_member_killed_during_compose_ends_with_one_guest(
    lxd_cluster: Members, cluster_pair: KeyPair, at_call: int
) -> None:
    """The call goes through another member, which stays."""
    first, second = lxd_cluster[:2]
    prefix = f"ikmk-{uuid4().hex[:6]}-"
    wanted = small_spec(f"{prefix}vm", ("default",) * 2, product=first.product)
    before = first.volumes()
    dying, client = driver_through(Fatal, first, cluster_pair, member=second.name)
    client.victim, client.left = second, at_call
    try:
        with pytest.raises(HostUnreachable):
            dying.compose(wanted)
    finally:
        second.start()
        dying.close()
    driver = opened(first, cluster_pair, second.name)
    await eventually(lambda: is_reachable(driver))
    assert driver.compose(wanted).member == second.name
    assert driver.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    assert {name for _, name in first.instances(prefix)} == {wanted.name}
    driver.decompose(wanted.ref, volumes_of(wanted))
    driver.close()
    assert (first.instances(prefix), first.volumes()) == (set(), before)
