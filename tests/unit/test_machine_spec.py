"""From a wish and a placement to a guest: which card it gets, and that a repeat makes the same guest."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.marks import volume_name
from common.values import DriverType, GuestSpec, HostNetwork, Mark, NicKind
from regiond.hosts.model import HostView
from regiond.machines.spec import default_nic, guest_spec, offer_of
from regiond.placement.model import Wish
from regiond.placement.place import DEFAULT_ROOT_BYTES, place
from regiond.placement.storage_text import parse_storage
from tests.unit.host_views import GB, host_view, network, storage_pool

INSTALLATION, MACHINE = UUID(int=1), UUID(int=2)
BRIDGE = NicKind.BRIDGE


@pytest.mark.parametrize(
    ("networks", "chosen"),
    [
        ([network("default"), network("maas"), network("lab")], (NicKind.NETWORK, "maas")),
        ([network("lab"), network("default")], (NicKind.NETWORK, "default")),
        ([network("br0", BRIDGE), network("lab")], (NicKind.NETWORK, "lab")),
        ([network("br0", BRIDGE), network("br1", BRIDGE)], (BRIDGE, "br0")),
        ([network("maas", active=False), network("lab")], (NicKind.NETWORK, "lab")),
        ([network("br0", BRIDGE), network("maas", BRIDGE)], (BRIDGE, "maas")),
        ([network("default"), network("maas", BRIDGE)], (BRIDGE, "maas")),
        ([network("default"), network("default", BRIDGE)], (NicKind.NETWORK, "default")),
        ([network("default", BRIDGE), network("default")], (NicKind.NETWORK, "default")),
        ([network("default", active=False), network("default", BRIDGE)], (BRIDGE, "default")),
    ],
)
def test_the_card_goes_to_the_preferred_active_network(
    networks: list[HostNetwork], chosen: tuple[NicKind, str]
) -> None:
    assert default_nic(host_view(networks=tuple(networks))) == chosen


def test_a_libvirt_host_without_an_active_network_gives_the_user_mode_network() -> None:
    host = host_view(driver=DriverType.LIBVIRT, networks=(network("default", active=False),))
    assert default_nic(host) == (NicKind.USER, "")


def made(host: HostView, storage: str = "", **wish: object) -> GuestSpec:
    asked = Wish(**{"cores": 2, "memory_mib": 2048, "disks": parse_storage(storage), **wish})  # type: ignore[arg-type]  # each test names the fields it means
    verdict = place(asked, [offer_of(host, reachable=True)]).order[0]
    return guest_spec(
        asked,
        verdict,
        host,
        hostname="web",
        installation_id=INSTALLATION,
        machine_uuid=MACHINE,
        new_mac_address=lambda: "52:54:00:00:00:01",
    )


def test_the_same_choices_make_the_same_guest() -> None:
    host = host_view(storage_pools=(storage_pool(), storage_pool(2, "fast")))
    assert made(host, "8,5(fast),3") == made(host, "8,5(fast),3")


def test_each_disk_gets_its_pool_a_volume_of_its_own_and_a_serial() -> None:
    host = host_view(storage_pools=(storage_pool(), storage_pool(2, "fast")))
    spec = made(host, "8,5(fast)")
    mark = Mark(installation_id=INSTALLATION, machine_id=MACHINE)
    assert [(disk.volume, disk.pool_id, disk.size_bytes, disk.tags) for disk in spec.disks] == [
        (volume_name(mark, 0), "key-default", 8 * GB, ()),
        (volume_name(mark, 1), "key-fast", 5 * GB, ("fast",)),
    ]
    assert len({disk.serial for disk in spec.disks}) == 2
    assert spec.mark == mark


def test_disks_on_lxd_have_the_serials_that_lxd_gives_them() -> None:
    spec = made(host_view(driver=DriverType.LXD), "8,5,3")
    assert [disk.serial for disk in spec.disks] == ["lxd_root", "lxd_disk1", "lxd_disk2"]


def test_a_root_disk_of_any_size_gets_the_default_size() -> None:
    assert [disk.size_bytes for disk in made(host_view(), "0").disks] == [DEFAULT_ROOT_BYTES]


def test_the_guest_boots_from_its_one_card_and_is_of_the_hosts_architecture() -> None:
    spec = made(host_view(architecture="arm64", networks=(network("lab"),)))
    assert spec.architecture == "arm64"
    (nic,) = spec.nics
    assert (nic.boot, nic.source, nic.mac_address) == (True, "lab", "52:54:00:00:00:01")


def test_a_host_that_was_never_discovered_is_offered_with_unknown_capacity() -> None:
    offer = offer_of(host_view(total=None, storage_pools=()), reachable=True)
    assert (offer.cores, offer.memory_mib, offer.default_storage_pool_id) == (None, None, None)
