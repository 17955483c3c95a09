"""Limits of a real LXD project refuse a size for good, also of a running instance."""

from __future__ import annotations

import pytest

from common.errors import OutOfCapacity
from common.guests.sizes import GuestSize
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair
from tests.lab.support.lxd_specs import small_spec

PROJECT = "ikresize"
SMALL = GuestSize(cores=1, memory_mib=128)
REFUSED = (GuestSize(cores=2, memory_mib=128), GuestSize(cores=1, memory_mib=256), GuestSize(cores=2, memory_mib=256))


def test_limits_of_the_project_refuse_a_size(lxd: LxdServer, trusted: KeyPair) -> None:
    driver = LxdDriverFactory().open(lxd.access(trusted, project=PROJECT))
    driver.make_project("Made by a test")
    lxd.lxc("project", "set", PROJECT, "limits.cpu", "1")
    lxd.lxc("project", "set", PROJECT, "limits.memory", "200MiB")
    spec = small_spec("limited")
    try:
        driver.compose(spec)
        for action in (None, PowerAction.ON):
            if action is not None:
                driver.power(spec.ref, action, grace_s=0.1)
            for size in REFUSED:
                with pytest.raises(OutOfCapacity, match=r"Reached maximum aggregate value .* in project .ikresize."):
                    driver.resize(spec.ref, size)
                assert driver.resize(spec.ref, SMALL).size == SMALL
        assert driver.power(spec.ref, PowerAction.CYCLE, grace_s=0.1, size=REFUSED[0]) is PowerState.ON
        assert driver.resize(spec.ref, SMALL).size == SMALL
    finally:
        driver.decompose(spec.ref)
        driver.close()
        lxd.lxc("project", "delete", PROJECT)
