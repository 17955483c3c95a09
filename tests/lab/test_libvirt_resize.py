"""Real QEMU gets other cores while it runs, and definitions that an administrator has changed."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from common.guest_spec import GuestSpec
from common.values import GuestSize, PowerAction, PowerState
from tests.contract.libvirt_fixtures import QemuFixture
from tests.lab.libvirt_specs import small_spec


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
