"""What only LXD has: copies of an instance, volumes that several use, and changes that cross. Others own these too."""

from __future__ import annotations

from typing import cast

import pytest

from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.connection.failures import PreconditionFailed
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.guest_samples import volumes_of
from tests.contract.support.lxd_fixtures import LxdFixture
from tests.contract.support.lxd_prepared_server import client_of

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd"}], indirect=True
)


def lxd_of(host: DriverFixture) -> LxdFixture:
    return cast("LxdFixture", host)


def test_a_copy_of_a_machine_is_foreign_and_stays(host: DriverFixture) -> None:
    spec = spec_for(host, "copied")
    host.driver.compose(spec)
    client = client_of(lxd_of(host).access)
    ours = client.get(path("instances", spec.name))
    client.post(
        path("instances"),
        {
            "name": f"{host.prefix}copy",
            "type": "virtual-machine",
            "source": {"type": "none"},
            "config": {key: value for key, value in ours["config"].items() if not key.startswith("volatile.")},
            "devices": {"root": ours["devices"]["root"]},
        },
    )
    found = {guest.name: guest.marker for guest in host.driver.discover().guests}
    assert (found[spec.name], found[f"{host.prefix}copy"]) == (spec.marker, None)
    for _ in range(2):  # the second finds only the copy
        host.driver.decompose(spec.ref, volumes_of(spec))
    assert f"{host.prefix}copy" in {guest.name for guest in host.driver.discover().guests}


def test_a_volume_that_another_guest_uses_stays(host: DriverFixture) -> None:
    spec = spec_for(host, "shares", disks=2)
    host.driver.compose(spec)
    shared = spec.disks[1]
    client = client_of(lxd_of(host).access)
    host.make_foreign(f"{host.prefix}other")
    disk = {"type": "disk", "pool": shared.pool_id, "source": shared.volume}
    client.patch(path("instances", f"{host.prefix}other"), {"devices": {"data": disk}})
    (found,) = [one for one in host.driver.discover().guests if one.name == spec.name]
    assert found.removal.shared_volumes == (f"{shared.pool_id}/{shared.volume}",)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert (shared.pool_id, shared.volume) in host.volumes()
    assert client.get(path("instances", f"{host.prefix}other"))["devices"]["data"] == disk


def test_a_change_that_crosses_another_one_is_refused(host: DriverFixture) -> None:
    spec = spec_for(host, "crossed")
    host.driver.compose(spec)
    client = client_of(lxd_of(host).access)
    where = path("instances", spec.name)
    read, etag = client.get_with_etag(where)
    client.patch(where, {"config": {"user.other": "changed meanwhile"}})
    body = {name: read[name] for name in ("architecture", "config", "devices", "profiles")}
    with pytest.raises(PreconditionFailed):
        client.put(where, body, etag=etag)
    assert client.get(where)["config"]["user.other"] == "changed meanwhile"
