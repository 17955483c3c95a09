"""Other cores and memory in a domain's definition, and what an administrator wrote there."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from common.errors import Unsupported
from common.guests.guest_placement import UNBOUND, GuestPlacement, PlacedGuest
from common.guests.sizes import GuestSize
from rackd.drivers.libvirt.definitions.cpu_xml import set_placement
from rackd.drivers.libvirt.definitions.size_xml import set_size, size_in

TOPOLOGY = "<cpu><topology sockets='{}' dies='1' cores='{}' threads='{}'/></cpu>"
CELL = "<cpu><numa><cell id='0' cpus='0-1' memory='1' unit='GiB'/></numa></cpu>"
CELLS = CELL.replace("</numa>", "<cell id='1' cpus='2-3' memory='1' unit='GiB'/></numa>")


def domain(
    *, vcpu: str = "<vcpu>2</vcpu>", memory: str = "<memory unit='GiB'>1</memory>", more: str = ""
) -> ET.Element:
    current = "<currentMemory unit='GiB'>1</currentMemory>"
    return ET.fromstring(f"<domain><name>web</name>{memory}{current}{vcpu}{more}</domain>")  # noqa: S314


def resized(tree: ET.Element, cores: int, memory_mib: int = 1024) -> ET.Element:
    set_size(tree, GuestSize(cores=cores, memory_mib=memory_mib))
    assert size_in(tree) == GuestSize(cores=cores, memory_mib=memory_mib)
    return tree


def attributes(tree: ET.Element, path: str) -> dict[str, str]:
    found = tree.find(path)
    assert found is not None
    return found.attrib


def test_cores_and_memory_follow_the_size() -> None:
    tree = resized(domain(), 3, 1536)
    assert ET.tostring(tree, encoding="unicode") == (
        '<domain><name>web</name><memory unit="KiB">1572864</memory><currentMemory unit="KiB">1572864</currentMemory>'
        "<vcpu>3</vcpu></domain>"
    )


def test_the_same_size_changes_nothing() -> None:
    odd = domain(memory="<memory unit='KiB'>1048999</memory>", vcpu="<vcpu current='2'>4</vcpu>", more=CELLS)
    before = ET.tostring(odd)
    assert not set_size(odd, GuestSize(cores=2, memory_mib=1024))
    assert ET.tostring(odd) == before


@pytest.mark.parametrize(
    ("vcpu", "cores", "text", "current"),
    [
        ("<vcpu current='2'>4</vcpu>", 3, "4", "3"),
        ("<vcpu current='2'>4</vcpu>", 1, "4", "1"),
        ("<vcpu current='2'>4</vcpu>", 4, "4", None),
        ("<vcpu current='2'>4</vcpu>", 6, "6", None),
        ("<vcpu>4</vcpu>", 2, "2", None),
    ],
)
def test_cores_that_can_be_added_while_running_stay(vcpu: str, cores: int, text: str, current: str | None) -> None:
    tree = resized(domain(vcpu=vcpu, more="<vcpus><vcpu id='0' enabled='yes'/></vcpus>"), cores)
    assert (tree.findtext("vcpu"), attributes(tree, "vcpu").get("current")) == (text, current)
    assert tree.find("vcpus") is None


@pytest.mark.parametrize(
    ("before", "cores", "after"),
    [
        ((1, 2, 1), 6, ("1", "6", "1")),
        ((1, 1, 2), 6, ("1", "3", "2")),
        ((2, 1, 1), 6, ("6", "1", "1")),
        ((2, 1, 1), 1, ("1", "1", "1")),
        ((2, 2, 1), 6, ("3", "2", "1")),
        ((2, 3, 1), 4, ("2", "2", "1")),
    ],
)
def test_the_topology_follows_the_cores(before: tuple[int, ...], cores: int, after: tuple[str, ...]) -> None:
    vcpu = f"<vcpu>{before[0] * before[1] * before[2]}</vcpu>"
    tree = resized(domain(vcpu=vcpu, more=TOPOLOGY.format(*before)), cores)
    found = attributes(tree, "cpu/topology")
    assert (found["sockets"], found["cores"], found["threads"], found["dies"]) == (*after, "1")


def test_the_only_numa_cell_follows_the_size() -> None:
    tree = resized(domain(more=CELL), 4, 2048)
    assert attributes(tree, "cpu/numa/cell") == {"id": "0", "cpus": "0-3", "memory": "2097152", "unit": "KiB"}
    assert attributes(resized(tree, 1, 2048), "cpu/numa/cell")["cpus"] == "0"


def test_affinities_of_removed_cores_go_and_others_stay() -> None:
    pins = "".join(f"<vcpupin vcpu='{number}' cpuset='0-3'/>" for number in range(4))
    tree = resized(domain(vcpu="<vcpu>4</vcpu>", more=f"<cputune><shares>9</shares>{pins}</cputune>"), 2)
    assert [pin.get("vcpu") for pin in tree.iterfind("cputune/vcpupin")] == ["0", "1"]
    assert tree.findtext("cputune/shares") == "9"


def test_a_maximum_below_the_new_memory_grows() -> None:
    tree = resized(domain(more="<maxMemory slots='4' unit='GiB'>2</maxMemory>"), 2, 1536)
    assert (tree.findtext("maxMemory"), attributes(tree, "maxMemory")["unit"]) == ("2", "GiB")
    assert resized(tree, 2, 4096).findtext("maxMemory") == str(4096 * 1024)


@pytest.mark.parametrize(
    ("more", "cores", "memory_mib", "named"),
    [
        (TOPOLOGY.format(1, 1, 2), 3, 1024, r"topology .*\(2 threads\) cannot have 3 cores"),
        (CELLS, 4, 1024, "2 NUMA cells"),
        (CELLS, 2, 2048, "2 NUMA cells"),
        ("<devices><memory model='dimm'/></devices>", 2, 2048, "memory devices"),
        ("<memtune><hard_limit unit='MiB'>1500</hard_limit></memtune>", 2, 2048, "1500 MiB"),
    ],
)
def test_what_cannot_follow_the_size_is_named(more: str, cores: int, memory_mib: int, named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        set_size(domain(more=more), GuestSize(cores=cores, memory_mib=memory_mib))


ONE = GuestSize(cores=1, memory_mib=1024)


def placed(tree: ET.Element, placement: GuestPlacement, *, changes: bool = True) -> str:
    """The definition without its size, once it has the placement."""
    assert set_placement(tree, PlacedGuest.of("web", ONE, placement)) is changes
    return "".join(ET.tostring(one, encoding="unicode") for one in tree if one.tag not in {"name", "memory"})


def test_a_placement_is_all_of_cores_pages_and_nodes() -> None:
    bare = '<currentMemory unit="GiB">1</currentMemory><vcpu>2</vcpu>'
    tree = domain()
    wanted = GuestPlacement(pinned_core_ids=(5, 3), huge_page_size_kib=2048, numa_node_ids=(0, 1))
    found = placed(tree, wanted)
    assert found == (
        '<currentMemory unit="GiB">1</currentMemory><vcpu cpuset="3,5">2</vcpu>'
        '<cputune><vcpupin vcpu="0" cpuset="5" /><vcpupin vcpu="1" cpuset="3" /><emulatorpin cpuset="3,5" /></cputune>'
        '<memoryBacking><hugepages><page size="2048" unit="KiB" /></hugepages></memoryBacking>'
        '<numatune><memory mode="strict" nodeset="0,1" /></numatune>'
    )
    assert placed(tree, wanted, changes=False) == found
    assert placed(tree, UNBOUND) == bare


def test_what_an_administrator_has_tuned_beside_it_stays() -> None:
    tuned = (
        "<cputune><shares>512</shares><vcpupin vcpu='0' cpuset='1'/></cputune><memoryBacking><locked/></memoryBacking>"
        "<numatune><memory mode='preferred' nodeset='1'/></numatune>"
    )
    tree = domain(vcpu="<vcpu cpuset='0-3'>1</vcpu>", more=tuned)
    assert placed(tree, UNBOUND) == (
        '<currentMemory unit="GiB">1</currentMemory><vcpu>1</vcpu><cputune><shares>512</shares></cputune>'
        "<memoryBacking><locked /></memoryBacking>"
        '<numatune><memory mode="preferred" nodeset="1" /></numatune>'
    )
    free = domain(vcpu="<vcpu cpuset='0-3'>1</vcpu>")
    assert 'cpuset="0-3"' in placed(free, UNBOUND, changes=False)
