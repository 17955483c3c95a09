"""Copies of ISO images that a killed server leaves, and what only servers of LXD and Incus refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.errors import DriverFailed, HostUnreachable, ImageMissing, NotFound, NotTrusted, OutOfCapacity, WrongState
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.connection.failures import NotAuthorized, PreconditionFailed, Unfinished
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory import volume_index
from rackd.drivers.lxd.inventory.iso_volumes import COMPLETE
from tests.contract.disks.test_disk_moves_contract import moved
from tests.contract.hardware.test_iso_contract import Content, composed, copied, copies_of, listed
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, DriverFixture
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http.messages import DEFAULT_PROJECT
from tests.lxd_http.state import Lxd, Volume

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-6-double", "incus-double"}], indirect=True
)
LONG_AGO = (datetime.now(UTC) - timedelta(hours=3)).isoformat().replace("+00:00", "Z")


def server(host: DriverFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def iso_volumes(host: DriverFixture) -> list[Volume]:
    return [one for one in server(host).volumes.values() if one.content_type == "iso"]


def broken(host: DriverFixture, title: bytes, *, made_at: str = "") -> str:
    """Leaves a volume as a server does that was killed after it had made it. Returns the image's SHA-256."""
    sha256 = copied(host, title)
    (volume,) = iso_volumes(host)
    volume.description = ""
    volume.created_at = made_at or volume.created_at
    return sha256


def test_a_broken_copy_is_no_copy(host: DriverFixture) -> None:
    spec, sha256 = composed(host), broken(host, b"broken")
    assert [complete for _, _, complete in copies_of(host, sha256)] == [False]
    with pytest.raises(ImageMissing):
        host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    copied(host, b"broken")
    assert len(iso_volumes(host)) == 2, "another rack may be copying it"
    assert host.driver.insert_iso(spec.ref, sha256, host.pool_id).now == sha256
    host.driver.eject_iso(spec.ref)
    host.driver.remove_image(sha256, host.pool_id)
    assert [complete for _, _, complete in copies_of(host, sha256)] == [False]


def test_a_copy_that_was_broken_long_ago_is_deleted(host: DriverFixture) -> None:
    sha256 = broken(host, b"broken", made_at=LONG_AGO)
    copied(host, b"broken")
    assert [one.description for one in iso_volumes(host)] != [""]
    assert len(iso_volumes(host)) == 1
    host.driver.remove_image(sha256, host.pool_id)
    broken(host, b"broken", made_at=LONG_AGO)
    host.driver.remove_image(sha256, host.pool_id)
    assert iso_volumes(host) == []


def test_a_copy_in_a_drive_is_not_removed(host: DriverFixture) -> None:
    spec, sha256 = composed(host), copied(host, b"used")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    with pytest.raises(WrongState, match="Volumes in use were not deleted"):
        host.driver.remove_image(sha256, host.pool_id)
    assert listed(host, spec).iso == sha256
    assert len(iso_volumes(host)) == 1


@pytest.mark.parametrize("complete", [True, False])
def test_a_copy_of_an_instance_that_cannot_be_seen_is_not_in_the_way(host: DriverFixture, *, complete: bool) -> None:
    sha256 = copied(host, b"hidden") if complete else broken(host, b"hidden", made_at=LONG_AGO)
    (volume,) = iso_volumes(host)
    server(host).hidden_users.add(volume.name)
    other = duplicated(host, volume, "other")
    with pytest.raises(WrongState, match=rf"Volumes in use were not deleted: {volume.name} in {host.pool_id}"):
        host.driver.remove_image(sha256, host.pool_id)
    assert iso_volumes(host) == [volume], f"{other.name} is deleted"
    assert copied(host, b"hidden") == sha256
    assert len(iso_volumes(host)) == (1 if complete else 2)


def test_a_copy_says_nothing_of_one_that_an_instance_of_another_project_has(host: DriverFixture) -> None:
    spec, sha256, lxd = composed(host), copied(host, b"apart"), server(host)
    (volume,) = iso_volumes(host)
    theirs = duplicated(host, volume, "other")
    drive = {"type": "disk", "pool": theirs.pool, "source": theirs.name}
    instance = lxd.instance(spec.name, DEFAULT_PROJECT)
    lxd.instances["other", spec.name] = evolve(instance, project="other", devices={**instance.devices, "iso": drive})
    del lxd.volumes[volume.project, volume.pool, volume.name]
    with capture_logs() as logs:
        copied(host, b"apart")
        assert "image_in_use" not in [entry["event"] for entry in logs]
        with pytest.raises(WrongState, match=f"Volumes in use were not deleted: {theirs.name}"):
            host.driver.remove_image(sha256, host.pool_id)
        assert [entry["volume"] for entry in logs if entry["event"] == "image_in_use"] == [theirs.name]
    assert iso_volumes(host) == [theirs]


def test_a_refusal_does_not_keep_the_other_copies(host: DriverFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = copied(host, b"refused")
    (volume,) = iso_volumes(host)
    duplicated(host, volume, "other")
    delete = volumes.delete_volume

    def refuse(client: Client, one: volume_index.Volume, scope: Scope) -> None:
        if one.project == DEFAULT_PROJECT:
            raise NotAuthorized("not allowed")
        delete(client, one, scope)

    monkeypatch.setattr(volumes, "delete_volume", refuse)
    with pytest.raises(NotTrusted, match="not allowed"):
        host.driver.remove_image(sha256, host.pool_id)
    assert iso_volumes(host) == [volume]


def test_copies_of_a_project_that_the_certificate_may_not_use_are_not_ours(host: DriverFixture) -> None:
    sha256, lxd = copied(host, b"theirs"), server(host)
    (volume,) = iso_volumes(host)
    volume.created_at = LONG_AGO
    theirs = duplicated(host, volume, "theirs")
    lxd.forbidden_projects.add("theirs")
    assert copies_of(host, sha256) == [(host.pool_id, Content(b"theirs").ref.size_bytes, True)]
    host.driver.remove_image(sha256, host.pool_id)
    assert iso_volumes(host) == [theirs]
    assert copies_of(host, sha256) == []
    theirs.description, theirs.created_at = "", LONG_AGO
    copied(host, b"theirs")
    assert copies_of(host, sha256) == [(host.pool_id, Content(b"theirs").ref.size_bytes, True)]


def duplicated(host: DriverFixture, volume: Volume, project: str) -> Volume:
    """Returns the same volume in another project, which has volumes of its own."""
    lxd = server(host)
    lxd.projects.add(project)
    name = f"{volume.name[:-4]}00ff"
    made = lxd.volumes[project, volume.pool, name] = Volume(
        pool=volume.pool, name=name, project=project, content_type="iso", config=volume.config, disk=volume.disk,
        description=COMPLETE, created_at=volume.created_at,
    )  # fmt: skip
    return made


def test_the_copies_of_all_projects_are_one_and_go_together(host: DriverFixture) -> None:
    sha256 = copied(host, b"two")
    (volume,) = iso_volumes(host)
    duplicated(host, volume, "other")
    size = Content(b"two").ref.size_bytes
    assert copies_of(host, sha256) == [(host.pool_id, 2 * size, True)]
    host.driver.remove_image(sha256, host.pool_id)
    assert iso_volumes(host) == []


@pytest.mark.parametrize("undeleted", [0, 1])
def test_retries_of_a_copy_that_cannot_be_described_leave_nothing(host: DriverFixture, undeleted: int) -> None:
    lxd, sha256 = server(host), Content(b"retried").ref.sha256
    for attempt in range(3):
        lxd.unpatched, lxd.undeleted = 1, undeleted
        with pytest.raises(HostUnreachable):
            copied(host, b"retried")
        assert len(iso_volumes(host)) == undeleted, f"attempt {attempt}"
    copied(host, b"retried")
    assert copies_of(host, sha256) == [(host.pool_id, Content(b"retried").ref.size_bytes, True)]
    assert [one.description for one in iso_volumes(host)] == [COMPLETE]


def test_a_damaged_image_leaves_nothing(host: DriverFixture) -> None:
    content, other = Content(b"damaged"), Content(b"other")
    with pytest.raises(DriverFailed, match="damaged"):
        host.driver.copy_image(content.ref, host.pool_id, other)
    assert iso_volumes(host) == []
    with pytest.raises(NotFound):
        host.driver.copy_image(content.ref, "nowhere", content)


def test_a_running_guest_that_keeps_its_image_says_so(host: DriverFixture) -> None:
    spec, sha256 = composed(host, on=True), copied(host, b"kept")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    server(host).clinging.add(spec.name)
    with pytest.raises(WrongState, match="until it is off"):
        host.driver.eject_iso(spec.ref)
    assert listed(host, spec).iso == sha256


def test_a_running_guest_that_gets_no_drive_says_so(host: DriverFixture) -> None:
    spec, sha256 = composed(host, on=True), copied(host, b"refused")
    server(host).directories |= {one.name for one in iso_volumes(host)}
    with pytest.raises(WrongState, match=rf"It can be while {spec.name} is off"):
        host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    assert listed(host, spec).iso == ""


@pytest.mark.parametrize(
    "error",
    [
        PreconditionFailed("ETag doesn't match"),
        Unfinished("not yet"),
        DriverFailed('Failed add validation for device "iso": Not now'),
    ],
)
def test_what_no_running_guest_has_refused_is_not_answered_so(
    host: DriverFixture, monkeypatch: pytest.MonkeyPatch, error: DriverFailed
) -> None:
    spec, sha256 = composed(host, on=True), copied(host, b"refused")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Instances, "change", fail)
    with pytest.raises(type(error)) as raised:
        host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    assert (type(raised.value), str(raised.value)) == (type(error), str(error))


def test_the_device_of_another_is_not_replaced(host: DriverFixture) -> None:
    spec, sha256 = composed(host), copied(host, b"beside")
    instance = server(host).instance(spec.name, DEFAULT_PROJECT)
    instance.devices["iso"] = {"type": "disk", "source": "cloud-init:config"}
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    assert instance.devices["iso"] == {"type": "disk", "source": "cloud-init:config"}
    assert instance.devices["iso1"]["source"] == iso_volumes(host)[0].name


def test_an_image_of_a_profile_is_not_ejected(host: DriverFixture) -> None:
    spec, sha256 = composed(host), copied(host, b"profile")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    instance, lxd = server(host).instance(spec.name, DEFAULT_PROJECT), server(host)
    lxd.profiles["shared"] = {"config": {}, "devices": {"iso": instance.devices.pop("iso")}}
    instance.profiles.append("shared")
    with pytest.raises(WrongState, match="profile device remove"):
        host.driver.eject_iso(spec.ref)


def test_a_root_disk_moves_beside_an_image(host: CapableFixture) -> None:
    pool_id, spec, sha256 = host.second_pool(), composed(host), copied(host, b"moves")
    host.driver.insert_iso(spec.ref, sha256, host.pool_id)
    after = moved(host, spec, 0, pool_id)
    assert listed(host, after).iso == sha256


def test_a_pool_without_space_is_named(host: DriverFixture) -> None:
    content = Content(b"large")
    large = evolve(content.ref, size_bytes=1 << 60, virtual_size_bytes=1 << 60)
    with pytest.raises(OutOfCapacity, match=f"the storage pool {host.pool_id} has"):
        host.driver.copy_image(large, host.pool_id, content)
