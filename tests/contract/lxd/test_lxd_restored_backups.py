"""An instance that somebody restores from a backup, beside its original, has the id and the marker of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast
from uuid import uuid4

import pytest

from common.errors import WrongState
from common.guests.guest_spec import GuestSpec
from common.values import GuestRef, PowerAction, PowerState
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.inventory.ownership import REPLACES_KEY, id_of, replacement_name
from tests.contract.support.driver_fixtures import FIXTURES, DriverFixture, spec_for
from tests.contract.support.guest_samples import volumes_of
from tests.contract.support.lxd_fixtures import LxdFixture
from tests.contract.support.lxd_prepared_server import client_of

PROJECT = r"--project default\."  # the end of a command

pytestmark = pytest.mark.parametrize(
    "host",
    [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double", "incus-double", "lxd", "incus-6"}],
    indirect=True,
)


@pytest.fixture
def client(host: DriverFixture) -> Iterator[Client]:
    opened = client_of(cast("LxdFixture", host).access)
    yield opened
    opened.close()


def composed(host: DriverFixture, name: str, *, disks: int = 1) -> GuestSpec:
    spec = spec_for(host, name, disks=disks)
    host.driver.compose(spec)
    return spec


def restore(client: Client, original: str, name: str, **config: str) -> Json:
    """Makes what `lxc import` makes of a backup: an instance with the config of its original. Returns that."""
    ours: Json = client.get(path("instances", original))
    kept = {key: text for key, text in ours["config"].items() if key == "volatile.uuid" or "volatile." not in key}
    client.post(
        path("instances"),
        {
            "name": name, "type": "virtual-machine", "profiles": [], "source": {"type": "none"},
            "config": {**kept, **config}, "devices": {"root": ours["devices"]["root"]},
        },
    )  # fmt: skip
    assert id_of(client.get(path("instances", name))) == id_of(ours)
    return ours


def instances(host: DriverFixture, client: Client) -> set[str]:
    """Their names, without the prefix of the test."""
    found = {str(one["name"]) for one in client.get("instances", recursion="1")}
    return {name.removeprefix(host.prefix) for name in found if name.startswith((host.prefix, "ik-", "lxd-move-of-"))}


def test_a_restored_backup_is_never_deleted_with_its_original(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "vm", disks=2)
    restore(client, spec.name, f"{host.prefix}vm-restored")
    host.driver.power(GuestRef(name=f"{host.prefix}vm-restored", marker=spec.marker), PowerAction.ON, grace_s=1.0)
    for _ in range(2):  # the second is a retry after a lost answer
        host.driver.decompose(spec.ref, volumes_of(spec))
        assert instances(host, client) == {"vm-restored"}
        assert client.get(path("instances", f"{host.prefix}vm-restored"))["status"] == "Running"
    assert host.driver.find(spec.ref) is None
    (found,) = [guest for guest in host.driver.discover().guests if guest.name.startswith(host.prefix)]
    assert (found.name, found.marker) == (f"{host.prefix}vm-restored", None)


def test_a_retry_after_a_failed_deletion_leaves_the_backup(
    host: DriverFixture, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost before or after the original is deleted."""
    spec = composed(host, "vm")
    restore(client, spec.name, f"{host.prefix}vm-restored")
    delete = Client.delete
    for happens in (False, True):

        def lost(of: Client, where: str, *, happens: bool = happens, **query: str) -> None:
            if happens:
                delete(of, where, **query)
            raise ConnectionError

        monkeypatch.setattr(Client, "delete", lost)
        with pytest.raises(ConnectionError):
            host.driver.decompose(spec.ref, volumes_of(spec))
        monkeypatch.undo()
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert instances(host, client) == {"vm-restored"}


def test_nothing_is_deleted_while_it_is_unknown_which_is_the_copy(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "vm")
    restore(client, spec.name, f"{host.prefix}restored")
    host.rename(spec.ref, f"{host.prefix}renamed")
    with pytest.raises(
        WrongState, match=rf"{host.prefix}renamed, {host.prefix}restored.* user\.innkeeper\.machine {PROJECT}$"
    ):
        host.driver.decompose(spec.ref, volumes_of(spec))
    assert instances(host, client) == {"renamed", "restored"}
    client.patch(path("instances", f"{host.prefix}restored"), {"config": {"user.innkeeper.machine": ""}})
    host.driver.decompose(spec.ref, volumes_of(spec))
    assert instances(host, client) == {"restored"}


def test_a_backup_beside_a_placeholder_stays(host: DriverFixture, client: Client) -> None:
    """A rack was killed after it had deleted the instance; then somebody restored a backup of it."""
    spec = composed(host, "vm")
    placeholder = replacement_name(spec.marker)
    restore(client, spec.name, placeholder, **{REPLACES_KEY: spec.name})
    restore(client, spec.name, f"{host.prefix}vm-restored")
    client.delete(path("instances", spec.name))
    clear = rf"one of: {host.prefix}vm-restored\. .* {PROJECT} Do not change {placeholder}: it is temporary"
    with pytest.raises(WrongState, match=clear):
        host.driver.decompose(spec.ref)
    assert instances(host, client) == {placeholder, "vm-restored"}
    client.patch(path("instances", f"{host.prefix}vm-restored"), {"config": {"user.innkeeper.machine": ""}})
    host.driver.decompose(spec.ref)
    assert instances(host, client) == {"vm-restored"}


def test_a_leftover_is_deleted_beside_a_guest_with_another_id(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "vm")
    other, name = str(uuid4()), f"{host.prefix}late"
    ours = client.get(path("instances", spec.name))
    config = {**ours["config"], "volatile.uuid": other, "user.innkeeper.made": other}
    kept = {key: text for key, text in config.items() if key.startswith(("user.", "volatile.uuid"))}
    body = {"type": "virtual-machine", "profiles": [], "source": {"type": "none"}}
    client.post(path("instances"), {**body, "name": name, "config": kept, "devices": {"root": ours["devices"]["root"]}})
    for ref in (spec.ref, GuestRef(name=name, marker=spec.marker)):  # whatever the operation calls it
        host.driver.decompose(ref, guest_id=str(uuid4()))
        assert instances(host, client) == {"vm", "late"}
    host.driver.decompose(spec.ref, guest_id=other)
    assert instances(host, client) == {"vm"}
    assert host.driver.find(spec.ref) is not None, "it has its marker still"


@pytest.mark.parametrize("hostname", ["vm", "web"])
@pytest.mark.parametrize("original_stays", [True, False])
def test_what_interrupted_calls_left_is_deleted(
    host: DriverFixture, client: Client, hostname: str, *, original_stays: bool
) -> None:
    """Also if the machine has another name than its instance."""
    spec = composed(host, "vm")
    restore(client, spec.name, replacement_name(spec.marker), **{REPLACES_KEY: spec.name})
    if not original_stays:
        client.delete(path("instances", spec.name))
    host.driver.decompose(GuestRef(name=f"{host.prefix}{hostname}", marker=spec.marker))
    assert instances(host, client) == set()


@pytest.mark.parametrize("original_stays", [True, False])
def test_copies_of_an_interrupted_move_are_deleted(
    host: DriverFixture, client: Client, *, original_stays: bool
) -> None:
    spec = composed(host, "vm")
    restore(client, spec.name, f"lxd-move-of-{spec.marker.machine_id}")
    if not original_stays:
        client.delete(path("instances", spec.name))
    host.driver.decompose(spec.ref)
    assert instances(host, client) == set()


def test_a_restored_backup_is_a_problem_and_no_second_guest(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "vm")
    before = host.driver.find(spec.ref)
    for name in ("a-restored", "vm-restored"):  # in either order
        restore(client, spec.name, f"{host.prefix}{name}")
    found = host.driver.discover()
    assert [guest for guest in found.guests if guest.marker == spec.marker] == [before]
    problems = {one.subject: one.message for one in found.problems}
    for name in ("a-restored", "vm-restored"):
        assert f"has the same id as {spec.name} (" in problems[f"{host.prefix}{name}"]
        assert problems[f"{host.prefix}{name}"].endswith(f"copy {host.prefix}{name} NEW --project default")


def test_a_restored_backup_with_a_shorter_name_is_not_the_running_vm(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "db-production")
    host.driver.power(spec.ref, PowerAction.ON, grace_s=1.0)
    restore(client, spec.name, f"{host.prefix}db-old")
    found = host.driver.discover()
    (own,) = [guest for guest in found.guests if guest.marker == spec.marker]
    assert (own.name, own.power) == (spec.name, PowerState.ON)
    assert f"{host.prefix}db-old" in {one.subject for one in found.problems}


def test_adoption_marks_the_named_one_of_two_with_the_same_id(host: DriverFixture, client: Client) -> None:
    spec = composed(host, "vm")
    guest_id = id_of(restore(client, spec.name, f"{host.prefix}a-restored"))
    for name in (spec.name, f"{host.prefix}a-restored"):
        client.patch(path("instances", name), {"config": {"user.innkeeper.machine": ""}})
    adopted = host.driver.adopt(guest_id, spec.name, spec.marker)
    assert (adopted.name, adopted.marker) == (spec.name, spec.marker)
    host.driver.disown(guest_id, spec.name, spec.marker, exactly=True)
    assert host.driver.find(spec.ref) is None
