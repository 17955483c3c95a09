"""Fixed addresses: a network's own DHCP server hands out what is in its subnet, cloud-init is told the rest."""

from __future__ import annotations

import io
import json
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from pycdlib import PyCdlib

from common.errors import WrongState
from common.values import GuestSpec, Mark, NicAddress, NicKind, NicSpec
from rackd.drivers.libvirt import seed
from rackd.drivers.libvirt.addresses import Reservation, check_free, delivery, is_held, read, serving, written

NETWORK = ET.fromstring(  # noqa: S314  ours
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
CARD = NicSpec(name="eth0", mac_address="52:54:00:00:00:0C", kind=NicKind.NETWORK, source="default")
SPEC = GuestSpec(
    name="web",
    mark=Mark(installation_id=UUID(int=1), machine_id=UUID(int=2)),
    architecture="amd64",
    cores=1,
    memory_mib=1024,
    disks=(),
)


def addressed(address: str, card: NicSpec = CARD) -> NicSpec:
    return evolve(card, address=NicAddress(address=address, prefix_length=24, gateway="10.1.0.1"))


def test_an_address_in_the_subnet_of_a_networks_dhcp_server_is_reserved_there() -> None:
    found = delivery(evolve(SPEC, nics=(addressed("10.1.0.200"),)), {"default": NETWORK})
    assert found.reservations == (
        Reservation(network="default", mac_address="52:54:00:00:00:0c", address="10.1.0.200"),
    )
    assert found.network_config is None


@pytest.mark.parametrize(
    "card",
    [
        addressed("10.9.0.200"),
        addressed("10.8.0.200"),
        addressed("2001:db8::20"),
        addressed("10.1.0.200", evolve(CARD, kind=NicKind.BRIDGE, source="br0")),
    ],
    ids=["subnet without DHCP", "no subnet of it", "IPv6", "bridge"],
)
def test_any_other_address_is_told_by_cloud_init(card: NicSpec) -> None:
    found = delivery(evolve(SPEC, nics=(card,)), {"default": NETWORK})
    assert found.reservations == ()
    assert found.network_config is not None
    assert "52:54:00:00:00:0c" in found.network_config


def test_a_reserved_card_asks_dhcp_also_where_another_is_told_its_address() -> None:
    other = addressed("10.5.0.2", evolve(CARD, name="eth1", kind=NicKind.BRIDGE, source="br0"))
    found = delivery(evolve(SPEC, nics=(addressed("10.1.0.200"), other)), {"default": NETWORK})
    assert len(found.reservations) == 1
    assert json.loads(found.network_config or "")["ethernets"]["eth0"]["dhcp4"] is True


def test_the_element_that_serves_an_address_is_counted_as_libvirt_counts() -> None:
    assert serving(NETWORK, "10.1.0.7") == 2
    assert serving(NETWORK, "10.2.0.7") is None


def test_a_reservation_that_is_there_is_known_whatever_the_case_of_its_letters() -> None:
    there = Reservation(network="default", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    check_free(NETWORK, there)
    assert is_held(NETWORK, there)
    assert not is_held(NETWORK, evolve(there, address="10.1.0.102"))


@pytest.mark.parametrize(
    ("mac_address", "address", "named"),
    [("52:54:00:00:00:0c", "10.1.0.101", "db"), ("52:54:00:00:00:0a", "10.1.0.102", "10.1.0.100")],
)
def test_what_somebody_else_reserved_is_named(mac_address: str, address: str, named: str) -> None:
    with pytest.raises(WrongState, match=named):
        check_free(NETWORK, Reservation(network="default", mac_address=mac_address, address=address))


def test_a_reservation_written_into_a_mark_is_read_back() -> None:
    one = Reservation(network="a<b", mac_address="52:54:00:00:00:0a", address="10.1.0.100")
    assert read(ET.Element("reservation", dict(written(one)))) == one


def test_the_image_holds_what_cloud_init_looks_for() -> None:
    content = seed.image(seed.files(SPEC, '{"version": 2}'))
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
    assert json.loads(found["meta-data"]) == {"instance-id": str(SPEC.mark.machine_id), "local-hostname": "web"}
    assert (found["user-data"], json.loads(found["network-config"])) == (b"", {"version": 2})
