"""Real QEMU gets other cores while it runs, and definitions that an administrator has changed."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from common.errors import WrongState
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import GuestSize
from common.values import PowerAction, PowerState
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.support.libvirt_specs import small_spec


def redefined(qemu: QemuFixture, spec: GuestSpec, *, maximum: int, topology: str = "") -> None:
    """Gives the definition a maximum number of cores, and the topology in the CPU element."""
    tree = ET.fromstring(qemu.administrator.lookupByName(spec.name).XMLDesc())  # noqa: S314  of the test
    vcpu, cpu = tree.find("vcpu"), tree.find("cpu")
    assert vcpu is not None
    assert cpu is not None
    vcpu.set("current", vcpu.text or "")
    vcpu.text = str(maximum)
    if topology:
        cpu.extend(ET.fromstring(f"<cpu>{topology}</cpu>"))  # noqa: S314  of the test
    qemu.administrator.defineXML(ET.tostring(tree, encoding="unicode"))


def test_cores_are_plugged_into_a_running_guest(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "plugged")
    qemu.driver.compose(spec)
    redefined(qemu, spec, maximum=4)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    for cores in (2, 4):
        resized = qemu.driver.resize(spec.ref, GuestSize(cores=cores, memory_mib=128))
        assert (resized.size.cores, resized.power) == (cores, PowerState.ON)
    fewer = GuestSize(cores=1, memory_mib=128)
    assert qemu.driver.resize(spec.ref, fewer).size.cores == 4  # the emulated processor loses no core
    qemu.driver.power(spec.ref, PowerAction.CYCLE, grace_s=0.1, size=fewer)
    found = qemu.driver.find(spec.ref)
    assert found is not None
    assert (found.cores, found.power) == (1, PowerState.ON)


def test_a_topology_and_a_numa_cell_follow_the_size(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "shaped")
    qemu.driver.compose(spec)
    cell = "<numa><cell id='0' cpus='0-1' memory='128' unit='MiB'/></numa>"
    redefined(qemu, spec, maximum=2, topology=f"<topology sockets='1' cores='1' threads='2'/>{cell}")
    size = GuestSize(cores=6, memory_mib=192)
    assert qemu.driver.resize(spec.ref, size).size == size
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    found = qemu.driver.find(spec.ref)
    assert found is not None
    assert (found.cores, found.memory_mib) == (6, 192)
    tree = ET.fromstring(qemu.administrator.lookupByName(spec.name).XMLDesc())  # noqa: S314  of the test
    topology, cells = tree.find("cpu/topology"), tree.find("cpu/numa/cell")
    assert topology is not None
    assert cells is not None
    assert (topology.get("cores"), topology.get("threads"), cells.get("cpus")) == ("3", "2", "0-5")


def test_saved_memory_counts_and_keeps_its_size(qemu: QemuFixture) -> None:
    """Its next start has the size that was saved, whatever the definition says then."""
    spec = small_spec(qemu, "saved")
    qemu.driver.compose(spec)
    qemu.driver.resize(spec.ref, GuestSize(cores=2, memory_mib=192))
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    domain = qemu.administrator.lookupByName(spec.name)
    domain.managedSave()
    tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  of the test
    for name, text in (("vcpu", "1"), ("memory", "131072"), ("currentMemory", "131072")):
        element = tree.find(name)
        assert element is not None
        element.text = text
    qemu.administrator.defineXML(ET.tostring(tree, encoding="unicode"))

    def counted() -> tuple[int, int]:
        (found,) = [one for one in qemu.driver.discover().guests if one.name == spec.name]
        assert found.power is PowerState.OFF
        again = qemu.driver.find(spec.ref)
        assert again is not None
        assert (again.cores, again.memory_mib) == (found.cores, found.memory_mib)
        return found.cores, found.memory_mib

    assert counted() == (2, 192)
    with pytest.raises(WrongState, match="restores it with the size that it had"):
        qemu.driver.resize(spec.ref, GuestSize(cores=1, memory_mib=256))
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1, size=GuestSize(cores=1, memory_mib=256))
    restored = qemu.driver.find(spec.ref)
    assert restored is not None
    assert (restored.power, restored.cores, restored.memory_mib) == (PowerState.ON, 2, 192)
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    assert counted() == (1, 128)
    qemu.driver.resize(spec.ref, GuestSize(cores=1, memory_mib=256))
    assert counted() == (1, 256)
