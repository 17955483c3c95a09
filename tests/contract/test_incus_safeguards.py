"""What only Incus would do to an instance beyond what was asked for, and what only its settings forbid."""

from __future__ import annotations

import pytest

from common.errors import WrongState
from common.values import PowerAction
from tests.contract.driver_fixtures import FIXTURES, DriverFixture
from tests.contract.guest_samples import volumes_of
from tests.contract.test_lxd_safeguards import composed, lxd_of

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"incus-double", "incus-7"}], indirect=True
)


@pytest.mark.parametrize("ephemeral", [False, True])
def test_a_dependent_volume_stays(host: DriverFixture, ephemeral: bool) -> None:
    spec = composed(host, "dep")
    pool, volume = host.attach_new_volume(spec.ref)
    device = {"type": "disk", "pool": pool, "source": volume, "dependent": "Yes"}
    lxd_of(host).change(spec.name, devices={volume: device})
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, ephemeral=ephemeral)
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert not lxd_of(host).exists(spec.name)
    assert (pool, volume) in host.volumes()


def test_an_instance_protected_from_starts_stays_on(host: DriverFixture) -> None:
    spec = composed(host, "start")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
    lxd_of(host).change(spec.name, config={"security.protection.start": "YES"})
    with pytest.raises(WrongState, match=r"nothing was changed.*security\.protection\.start"):
        host.driver.power(spec.ref, PowerAction.CYCLE, grace_s=1)
    assert lxd_of(host).power_of(spec.name) == "Running"
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=1)
    with pytest.raises(WrongState, match=r"security\.protection\.start"):
        host.driver.power(spec.ref, PowerAction.ON, grace_s=1)
