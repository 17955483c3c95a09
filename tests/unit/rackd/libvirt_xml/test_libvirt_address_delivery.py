"""Static addresses are delivered by libvirt's DHCP server or by cloud-init."""

from __future__ import annotations

import io
import json
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from pycdlib import PyCdlib

from common.errors import WrongState
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind, OwnershipMarker
from rackd.drivers.libvirt.addresses import cloud_init_seed
from rackd.drivers.libvirt.addresses.delivery import Reservation, check_free, delivery, is_reserved, serving
from rackd.drivers.libvirt.definitions.metadata import metadata_element, reservations_in, set_reservations
from tests.contract.support.guest_samples import small_guest

NETWORK = ET.fromstring(  # noqa: S314  # trusted
    """<network><name>default</name>
      <ip family='ipv6' address='2001:db8::1' prefix='64'><dhcp>
        <range start='2001:db8::2' end='2001:db8::9'/>
      </dhcp></ip>
      <ip address='10.9.0.1' netmask='255.255.255.0'/>
      <ip address='10.1.0.1' netmask='255.255.255.0'><dhcp>
        <range start='10.1.0.2' end='10.1.0.99'/>
        <host mac='52:54:00:00:00:0A' ip='10.1.0.100'/>
        <host mac='52:54:00:00:00:0b' name='db' ip='10.1.0.101'/>
      </dhcp></ip>
    </network>"""
)
NIC = NicSpec(name="eth0", mac_address="52:54:00:00:00:0C", kind=NicKind.NETWORK, source="default")
SPEC = small_guest("web", OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2)))


def addressed(address: str, nic: NicSpec = NIC) -> NicSpec:
    return evolve(nic, address=NicAddress(address=address, prefix_length=24, gateway="10.1.0.1"))


def test_addresses_in_a_dhcp_subnet_are_reserved() -> None:
    found = delivery((addressed("10.1.0.200"),), {"default": NETWORK})
    assert found.reservations == (
        Reservation(network="default", mac_address="52:54:00:00:00:0c", address="10.1.0.200"),
    )
    assert found.network_config is None


@pytest.mark.parametrize(
    "nic",
    [
        addressed("10.9.0.200"),
        addressed("10.8.0.200"),
        addressed("2001:db8::20"),
        addressed("10.1.0.200", evolve(NIC, kind=NicKind.BRIDGE, source="br0")),
    ],
    ids=["subnet without DHCP", "outside its subnets", "IPv6", "bridge"],
)
def test_other_addresses_are_configured_by_cloud_init(nic: NicSpec) -> None:
    found = delivery((nic,), {"default": NETWORK})
    assert found.reservations == ()
    assert found.network_config is not None
    assert "52:54:00:00:00:0c" in found.network_config


def test_nics_with_a_reservation_use_dhcp_beside_a_static_one() -> None:
    other = addressed("10.5.0.2", evolve(NIC, name="eth1", kind=NicKind.BRIDGE, source="br0"))
    found = delivery((addressed("10.1.0.200"), other), {"default": NETWORK})
    assert len(found.reservations) == 1
    assert json.loads(found.network_config or "")["ethernets"]["eth0"]["dhcp4"] is True


def test_the_ip_element_index_matches_libvirts() -> None:
    assert serving(NETWORK, "10.1.0.7") == 2
    assert serving(NETWORK, "10.2.0.7") is None


def test_reservations_match_mac_addresses_in_any_case() -> None:
    reservation = Reservation(network="default", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    check_free(NETWORK, reservation)
    assert is_reserved(NETWORK, reservation)
    assert not is_reserved(NETWORK, evolve(reservation, address="10.1.0.102"))


@pytest.mark.parametrize(
    ("mac_address", "address", "named"),
    [("52:54:00:00:00:0c", "10.1.0.101", "db"), ("52:54:00:00:00:0a", "10.1.0.102", "10.1.0.100")],
)
def test_conflicting_reservations_are_named(mac_address: str, address: str, named: str) -> None:
    with pytest.raises(WrongState, match=named):
        check_free(NETWORK, Reservation(network="default", mac_address=mac_address, address=address))


def test_a_reservation_that_will_be_removed_prevents_none() -> None:
    old = Reservation(network="default", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    check_free(NETWORK, evolve(old, address="10.1.0.102"), replaced=[old])
    with pytest.raises(WrongState, match="db"):
        check_free(NETWORK, evolve(old, address="10.1.0.101"), replaced=[old])


def test_metadata_shows_the_latest_reservations() -> None:
    domain = ET.Element("domain")
    old = Reservation(network="a", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    domain.append(metadata_element(SPEC, (old,), {}))
    set_reservations(domain, (evolve(old, address="10.1.0.102"),))
    assert [one.address for one in reservations_in(domain)] == ["10.1.0.102"]


def test_metadata_round_trips_reservations() -> None:
    one = Reservation(network="a<b", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    domain = ET.Element("domain")
    domain.append(metadata_element(SPEC, (one,), {}))
    assert reservations_in(ET.fromstring(ET.tostring(domain))) == (one,)  # noqa: S314  # trusted


def test_the_seed_image_contains_cloud_inits_files() -> None:
    content = cloud_init_seed.image(cloud_init_seed.files(SPEC, '{"version": 2}'))
    assert len(content) % 2048 == 0
    image = PyCdlib()
    image.open_fp(io.BytesIO(content))
    assert image.pvd.volume_identifier.strip() == b"cidata"
    found = {}
    for name in ("meta-data", "user-data", "network-config"):
        for kind in ("rr_path", "joliet_path"):
            out = io.BytesIO()
            image.get_file_from_iso_fp(out, **{kind: f"/{name}"})
            found[name] = out.getvalue()
    assert json.loads(found["meta-data"]) == {"instance-id": str(SPEC.marker.machine_id), "local-hostname": "web"}
    assert (found["user-data"], json.loads(found["network-config"])) == (b"", {"version": 2})
