"""The example of a driver, found as an entry point, meets the parts of the contract that every driver has."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from common.disks.volume_names import volume_name
from common.errors import HostUnreachable, Unsupported
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.installed_drivers import added_types
from common.serialization import from_dict, to_dict
from common.values import DriverType, Guest, GuestDisk, GuestRef, HostAccess, NicKind, OwnershipMarker, PowerState
from rackd.drivers.contract import Driver
from rackd.reports.guest_reports import GuestReports
from rackd.service import make_drivers
from rackd.settings import RackSettings
from tests.contract import test_driver_contract, test_generation_contract, test_ownership_contract
from tests.contract.support.driver_fixtures import INSTALLATION, DriverFixture, spec_for
from tests.contract.support.guest_samples import DISK_BYTES, free_serial, nic
from tests.doubles.example_driver import TYPE, installed

# Its hosts have no volumes without a guest, no disks that others attach, no adoption, clones or deployments.
_LEFT_OUT = {
    "test_a_clone_does_not_inherit_the_generation",
    "test_a_disowned_guest_has_no_generation_even_when_adopted",
    "test_a_new_root_disk_keeps_the_generation",
    "test_adopting_a_guest_of_ours_again_keeps_the_generation",
    "test_composing_completes_an_incomplete_guest",
    "test_decomposing_deletes_volumes_without_a_guest",
    "test_decomposing_leaves_a_foreign_volume_of_any_name",
    "test_decomposing_leaves_disks_attached_later",
    "test_decomposing_leaves_volumes_of_other_machines",
}


class JsonFixture:
    """A host of the example's type, opened by a rack."""

    def __init__(self, folder: Path) -> None:
        self.prefix, self.pool_id, self.architecture, self.reread_domains = "", "file", "amd64", 0
        self.nics: tuple[NicSpec, ...] = (nic(0, NicKind.NETWORK, "default", boot=True),)
        self._path = folder / "host.json"
        self._path.write_text("[]")
        access = HostAccess(host_id=1, driver=DriverType(TYPE), address=str(self._path), installation_id=INSTALLATION)
        self.driver: Driver = make_drivers(RackSettings(), GuestReports(lambda: ())).open(access)

    def serial(self, marker: OwnershipMarker, index: int) -> str:
        return free_serial(marker, index)

    def volume(self, marker: OwnershipMarker, index: int) -> str:
        return volume_name(marker, index)

    def volumes(self) -> set[tuple[str, str]]:
        found = self.driver.discover().guests
        return {(disk.pool_id or "", disk.volume or "") for guest in found for disk in guest.disks}

    def make_foreign(self, name: str) -> None:
        disk = GuestDisk(device="disk0", size_bytes=DISK_BYTES, pool_id="file", volume=f"{name}-disk")
        guest = Guest(name=name, guest_id=name, power=PowerState.OFF, cores=1, memory_mib=128, disks=(disk,))
        self._write([*self.driver.discover().guests, guest])

    def start(self, name: str) -> None:
        self._change(name, {"power": "on"})

    def rename(self, guest: GuestRef, new_name: str) -> None:
        self._change(guest.name, {"name": new_name})

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        raise Unsupported("A host of JSON has no volumes without a guest.")

    def attach_new_volume(self, guest: GuestRef) -> tuple[str, str]:
        raise Unsupported("Nobody attaches disks on a host of JSON.")

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        raise Unsupported("Nobody grows disks on a host of JSON.")

    def close(self) -> None:
        self.driver.close()

    def _change(self, name: str, fields: Mapping[str, Any]) -> None:
        plain = [to_dict(one) for one in self.driver.discover().guests]
        self._write([from_dict({**one, **(fields if one["name"] == name else {})}, Guest) for one in plain])

    def overwrite(self, content: str) -> None:
        self._path.write_text(content)

    def content(self) -> str:
        return self._path.read_text()

    def _write(self, guests: list[Guest]) -> None:
        self.overwrite(json.dumps([to_dict(one) for one in guests]))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[JsonFixture]:
    (tmp_path / "site").mkdir()
    with installed(tmp_path / "site"):
        fixture = JsonFixture(tmp_path)
        yield fixture
        fixture.close()


def _tests(*modules: ModuleType) -> list[Any]:
    """Returns the tests of the modules that need nothing but a host."""
    return [
        pytest.param(test, id=name.removeprefix("test_"))
        for module in modules
        for name, test in vars(module).items()
        if name.startswith("test_") and name not in _LEFT_OUT and not inspect.iscoroutinefunction(test)
        and [*inspect.signature(test).parameters] == ["host"]
    ]  # fmt: skip


@pytest.mark.parametrize("test", _tests(test_driver_contract, test_ownership_contract, test_generation_contract))
def test_the_example_meets_the_contract(test: Callable[[DriverFixture], None], host: JsonFixture) -> None:
    test(host)


def test_what_the_example_leaves_out_is_unsupported(host: JsonFixture) -> None:
    assert added_types() == (TYPE,)
    spec = spec_for(host, "small")
    guest = host.driver.compose(spec)
    with pytest.raises(Unsupported, match="Hosts of JSON have no way to add disks"):
        host.driver.attach_disk(spec.ref, spec.disks[0], 1, create=True)
    with pytest.raises(Unsupported, match="Hosts of JSON have no VMs that can be adopted"):
        host.driver.adopt(guest.guest_id, guest.name, spec.marker)


@pytest.mark.parametrize("content", ["{oops", "[1]", "{}x", '[{"name": 1}]', "7"])
def test_a_file_that_is_no_list_of_guests_is_named(host: JsonFixture, content: str) -> None:
    host.overwrite(content)
    with pytest.raises(HostUnreachable, match=r"host\.json is no list of VMs in JSON: .* Restore it"):
        host.driver.discover()
    assert host.content() == content, "it is kept for whoever restores it"
