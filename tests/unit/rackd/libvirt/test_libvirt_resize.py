"""Running domains of libvirt: cores up to the maximum, memory that a balloon has taken, and refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen

from common.errors import DriverFailed, OutOfCapacity, Unsupported
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import GuestSize, Resized
from common.values import OwnershipMarker, PowerAction, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions.domain_xml import DomainCapabilities
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.driver import LibvirtDriver
from rackd.drivers.libvirt.guests import resizing
from tests.contract.support.guest_samples import small_guest
from tests.contract.support.libvirt_node import opened

TRAITS = HostTraits(kernel_architecture="x86_64", architecture="amd64", domain_type="kvm", privileged=True)

HUGE_PAGES = "<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>"
CAPABILITIES = """
<capabilities><host><topology><cells num='1'><cell id='0'>
  <memory unit='KiB'>8388608</memory><pages unit='KiB' size='4'>1943552</pages><pages unit='KiB' size='2048'>300</pages>
  <cpus num='1'><cpu id='0' socket_id='0' core_id='0' siblings='0'/></cpus>
</cell></cells></topology></host></capabilities>
"""


@frozen
class Host:
    client: Client
    driver: LibvirtDriver
    spec: GuestSpec

    @property
    def domain(self) -> Any:
        return self.client.connection.lookupByName(self.spec.name)

    def start_with(self, vcpu: dict[str, str], current_mib: int) -> None:
        """Starts the guest, whose definition an administrator has changed."""
        tree = ET.fromstring(self.domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
        found, memory = tree.find("vcpu"), tree.find("currentMemory")
        assert found is not None
        assert memory is not None
        found.text, memory.text = vcpu.pop("maximum"), str(current_mib * 1024)
        found.attrib |= vcpu
        self.client.connection.defineXML(ET.tostring(tree, encoding="unicode"))
        self.driver.power(self.spec.ref, PowerAction.ON, grace_s=0.1)

    def balloon_mib(self) -> int:
        return int(self.domain.info()[2]) // 1024


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A guest with 1 core and 512 MiB that is off."""
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    with opened(tmp_path) as client:
        pool_id = client.connection.storagePoolLookupByName("main").UUIDString()
        spec = small_guest("vm", marker, (pool_id,), memory_mib=512)
        driver = LibvirtDriver(lambda: client, marker.installation_id)
        driver.compose(spec)
        yield Host(client, driver, spec)


def test_cores_change_up_to_the_maximum_of_the_start(host: Host) -> None:
    host.start_with({"maximum": "4", "current": "1"}, 512)
    for cores in (3, 4, 2):
        assert host.driver.resize(host.spec.ref, GuestSize(cores=cores, memory_mib=512)).size.cores == cores
    pending = GuestSize(cores=5, memory_mib=512)
    assert host.driver.resize(host.spec.ref, pending).size.cores == 2
    host.driver.power(host.spec.ref, PowerAction.CYCLE, grace_s=0.1)
    found = host.driver.find(host.spec.ref)
    assert found is not None
    assert found.cores == 5


def test_memory_taken_by_a_balloon_is_given_back_when_it_grows(host: Host) -> None:
    host.start_with({"maximum": "1"}, 256)
    host.driver.resize(host.spec.ref, GuestSize(cores=1, memory_mib=512))
    assert host.balloon_mib() == 256
    assert host.driver.resize(host.spec.ref, GuestSize(cores=1, memory_mib=1024)).size.memory_mib == 512
    assert host.balloon_mib() == 512


def test_a_running_domain_loses_no_memory(host: Host) -> None:
    host.start_with({"maximum": "1"}, 384)
    assert host.driver.resize(host.spec.ref, GuestSize(cores=1, memory_mib=256)).size.memory_mib == 512
    assert host.balloon_mib() == 384


def test_a_guest_starts_although_the_limits_of_the_emulator_are_unknown(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = LibvirtDriver(lambda: host.client, host.spec.marker.installation_id)

    def fails(*_: object) -> str:
        raise DriverFailed("no emulator")

    monkeypatch.setattr(Client, "domain_capabilities", fails)
    size = GuestSize(cores=2, memory_mib=512)
    for action in (PowerAction.ON, PowerAction.CYCLE):
        assert driver.power(host.spec.ref, action, grace_s=0.1, size=size) is PowerState.ON
    found = driver.find(host.spec.ref)
    assert found is not None
    assert found.cores == 1


def test_more_huge_pages_than_the_host_has_are_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ET.fromstring(host.domain.XMLDesc())  # noqa: S314  trusted: a domain of the test
    tree.append(ET.fromstring(HUGE_PAGES))  # noqa: S314
    host.client.connection.defineXML(ET.tostring(tree, encoding="unicode"))
    monkeypatch.setattr(Client, "capabilities", lambda _: CAPABILITIES)
    with pytest.raises(OutOfCapacity, match="vm needs 301 huge pages of 2048 KiB; the server has 300"):
        host.driver.resize(host.spec.ref, GuestSize(cores=1, memory_mib=602))
    for memory_mib in (600, 400):
        size = GuestSize(cores=1, memory_mib=memory_mib)
        assert host.driver.resize(host.spec.ref, size).size == size


def test_more_cores_than_the_emulator_supports_are_refused(host: Host) -> None:
    capabilities = "<domainCapabilities><vcpu max='4'/></domainCapabilities>"
    maximum = DomainCapabilities.of(capabilities, TRAITS).maximum_cores
    with pytest.raises(Unsupported, match="vm cannot have 5 cores: the host's emulator supports 4"):
        resize(host, GuestSize(cores=5, memory_mib=512), maximum)
    assert resize(host, GuestSize(cores=4, memory_mib=512), maximum).size.cores == 4


def resize(host: Host, size: GuestSize, maximum: int | None) -> Resized:
    return resizing.resize(host.client, host.spec.ref, size, maximum, closing=threading.Event())
