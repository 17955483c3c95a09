"""Drivers are found as entry points, and imported at the first host of their type."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import UnsupportedByPeer
from common.installed_drivers import GROUP, added_types, installed_drivers
from common.serialization import from_dict, to_dict
from common.values import DriverType, HostAccess
from rackd.drivers.contract import DriverSetup
from rackd.drivers.installed import InstalledDriver
from rackd.reports.guest_reports import GuestReports
from rackd.service import make_drivers
from rackd.settings import RackSettings
from tests.doubles.example_driver import MODULE, TYPE, install, installed

ROOT = Path(__file__).parents[4]
# What a process imports that has the driver in its path, and no host yet.
_LOADED = """
import sys, rackd.service
from rackd.reports.guest_reports import GuestReports
from rackd.settings import RackSettings
drivers = rackd.service.make_drivers(RackSettings(), GuestReports(lambda: ()))
print(*drivers.types)
print(*sorted({"pylxd", "libvirt", "json_driver", "rackd.drivers.simulated"} & sys.modules.keys()))
from regiond.hosts.search.fields import HOST_FIELDS
print(*HOST_FIELDS["type"].choices)
"""


def access(kind: str) -> HostAccess:
    return HostAccess(host_id=1, driver=DriverType(kind), address="somewhere", installation_id=uuid4())


def loading(value: str) -> InstalledDriver:
    setup = DriverSetup(simulated_hosts=None, report_boot=lambda *_: None, user_data=lambda *_: b"")
    return InstalledDriver(EntryPoint(name=TYPE, value=value, group=GROUP), setup)


def test_innkeeper_has_a_driver_for_each_of_its_own_types() -> None:
    assert [*installed_drivers()] == sorted(DriverType)
    assert added_types() == ()


def test_a_process_imports_no_driver_before_it_has_such_a_host(tmp_path: Path) -> None:
    install(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", _LOADED], env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert found.stdout.splitlines() == ["json lxd virsh", "", "lxd incus libvirt virsh simulated json"]


def test_a_distribution_replaces_a_driver_of_innkeeper(tmp_path: Path) -> None:
    with installed(tmp_path):
        (entries,) = tmp_path.glob("*.dist-info/entry_points.txt")
        entries.write_text(f"[{GROUP}]\nvirsh = {MODULE}:JsonHosts\n9bad word = {MODULE}:JsonHosts")
        installed_drivers.cache_clear()
        assert installed_drivers()[DriverType.LIBVIRT].value == f"{MODULE}:JsonHosts"
        assert sorted(installed_drivers()) == sorted(DriverType)


def test_a_driver_that_cannot_be_imported_is_named_with_the_reason() -> None:
    with pytest.raises(UnsupportedByPeer, match=r"type 'json': the driver absent_module:Hosts cannot be imported"):
        loading("absent_module:Hosts").open(access(TYPE))
    with pytest.raises(UnsupportedByPeer, match="has no attribute 'Absent'"):
        loading("rackd.drivers.lxd.factory:Absent").identify(access(TYPE))


def test_simulated_hosts_need_their_setting() -> None:
    drivers = make_drivers(RackSettings(), GuestReports(lambda: ()))
    with pytest.raises(UnsupportedByPeer, match="the setting simulated_hosts is not set"):
        drivers.open(access("simulated"))


def test_the_word_of_an_added_type_is_a_type_everywhere() -> None:
    word = DriverType("json")
    assert word == "json"
    assert word not in tuple(DriverType)
    assert word is DriverType("json") is copy.deepcopy(word) is pickle.loads(pickle.dumps(word))  # noqa: S301
    host = access("json")
    assert from_dict(to_dict(host), HostAccess) == host


@pytest.mark.parametrize("word", ["", "Json", "a b", "9json", "a" * 33])
def test_other_texts_are_no_types(word: str) -> None:
    with pytest.raises(ValueError, match="is not a valid DriverType"):
        DriverType(word)
