"""Values of the keys of LXD and Incus: booleans in all spellings, percentages, topologies, defaults of pools."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.values import Autostart, Guest
from rackd.drivers.lxd.inventory import config_values, networks
from rackd.drivers.lxd.inventory.config_values import amount_bytes, is_true, parse_cores
from rackd.drivers.lxd.inventory.guests import guest_of
from rackd.drivers.lxd.inventory.network_details import serves_static_leases
from rackd.drivers.lxd.inventory.removal_facts import dependent_devices
from rackd.drivers.lxd.inventory.volume_index import VolumeIndex, volume_projects_of
from tests.unit.rackd.lxd.test_lxd_guests import instance

DRIVER = Path(config_values.__file__).parents[1]
SPELLINGS = {"true", "1", "yes", "on", "false", "0", "no", "off"}
YES = ["true", "True", "TRUE", "1", "yes", "Yes", "on", "On", "ON"]
NO = ["false", "False", "0", "no", "NO", "off", "Off"]
KERNEL_BYTES = 24_684_092 * 1000  # as servers read `MemTotal: 24684092 kB`


def guest_with(key: str, value: str) -> Guest:
    return guest_of(instance(config={key: value}), VolumeIndex())[0]


READERS: dict[str, Callable[[str], bool]] = {
    "limits.memory.hugepages": lambda text: guest_with("limits.memory.hugepages", text).huge_pages_backed,
    "boot.autostart": lambda text: guest_with("boot.autostart", text).autostart is Autostart.ALWAYS,
    "security.secureboot": lambda text: guest_with("security.secureboot", text).secure_boot is True,
    "security.csm": lambda text: guest_with("security.csm", text).uefi is False,
    "security.protection.delete": lambda text: bool(guest_with("security.protection.delete", text).removal.protection),
    "features.storage.volumes": lambda text: (
        volume_projects_of([{"name": "own", "config": {"features.storage.volumes": text}}]) == {"own": "own"}
    ),
    "ipv4.dhcp": lambda text: serves_static_leases({"ipv4.address": "10.0.0.1/24", "ipv4.dhcp": text}, 4),
    "ipv6.dhcp.stateful": lambda text: serves_static_leases(
        {"ipv6.address": "fd00::1/64", "ipv6.dhcp.stateful": text}, 6
    ),
    "dependent": lambda text: bool(
        dependent_devices(instance(devices={"data": {"type": "disk", "source": "v", "dependent": text}}))
    ),
}


@pytest.mark.parametrize("key", READERS)
def test_every_boolean_key_has_all_spellings(key: str) -> None:
    assert [text for text in YES if not READERS[key](text)] == []
    assert [text for text in NO if READERS[key](text)] == []


def test_an_unset_boolean_has_the_default_of_its_key() -> None:
    assert (is_true(None), is_true(""), is_true(None, unset=True), is_true("no", unset=True)) == (
        False,
        False,
        True,
        False,
    )


def test_nothing_else_compares_the_text_of_a_boolean() -> None:
    found = [
        f"{path.relative_to(DRIVER)}: {ast.unparse(node)}"
        for path in sorted(DRIVER.rglob("*.py"))
        if path != Path(config_values.__file__)
        for node in ast.walk(ast.parse(path.read_text()))
        if any(word in SPELLINGS for word in compared_words(node))
    ]
    assert found == []


def compared_words(node: ast.AST) -> Iterator[Any]:
    """Yields the constants of a comparison, and those of a set or tuple that could be compared with."""
    parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    elements = list(node.elts) if isinstance(node, ast.Set) else []
    elements += [one for part in parts if isinstance(part, ast.Set | ast.Tuple | ast.List) for one in part.elts]
    for part in [*parts, *elements]:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value.lower()


@pytest.mark.parametrize(("text", "mib"), [("50%", 11770), ("33%", 7768), ("100%", 23540), ("0%", 0), ("4GiB", 4096)])
def test_a_percentage_is_what_the_server_computes(text: str, mib: int) -> None:
    assert amount_bytes(text, KERNEL_BYTES) == mib * 1024**2
    guest, problems = guest_of(instance(config={"limits.memory": text}), VolumeIndex(), memory_total_bytes=KERNEL_BYTES)
    assert (guest.memory_mib, problems) == (mib, ())


def test_a_percentage_of_unknown_memory_is_a_problem() -> None:
    guest, problems = guest_of(instance(config={"limits.memory": "50%"}), VolumeIndex())
    assert guest.memory_mib == 1024
    assert ["50%" in problem.message for problem in problems] == [True]


@pytest.mark.parametrize(
    ("text", "cores"), [("sockets=2,cores=4,threads=1", 8), ("cores=2", 2), ("threads=2, cores=3", 6)]
)
def test_a_topology_counts_as_its_cores(text: str, cores: int) -> None:
    assert parse_cores(text) == (cores, ())


@pytest.mark.parametrize("text", ["sockets=2,dies=1", "cores=", "cores=x", "=2", "cores=1-2"])
def test_an_unknown_topology_raises(text: str) -> None:
    with pytest.raises(ValueError, match="list of cores"):
        parse_cores(text)


def test_a_root_disk_without_size_has_that_of_its_pool() -> None:
    devices = {"root": {"type": "disk", "path": "/", "pool": "main"}}
    pools = [{"name": "main", "config": {"volume.size": "3GiB"}}, {"name": "other", "config": {"volume.size": "9GiB"}}]
    (root,) = guest_of(instance(devices=devices), VolumeIndex.of((), {}, pools))[0].disks
    assert root.size_bytes == 3 * 1024**3
    (plain,) = guest_of(instance(devices=devices), VolumeIndex.of((), {}, pools[1:]))[0].disks
    assert plain.size_bytes == 10 * 1024**3
    sized = {"root": {**devices["root"], "size": "1GiB"}}
    (own,) = guest_of(instance(devices=sized), VolumeIndex.of((), {}, pools))[0].disks
    assert own.size_bytes == 1024**3


def test_networks_without_dhcp_serve_nothing_in_any_spelling() -> None:
    own = {"ipv4.address": "10.0.0.1/24"}
    listed = [
        {"name": f"br{number}", "type": "bridge", "managed": True, "status": "Created", "config": {**own, **config}}
        for number, config in enumerate([{}, {"ipv4.dhcp": "no"}, {"ipv4.dhcp": "OFF"}, {"ipv4.dhcp": "Yes"}])
    ]
    found = networks.networks_of(listed, frozenset(), states={}, devices=())
    assert [one.dhcp for one in found] == [True, False, False, True]
