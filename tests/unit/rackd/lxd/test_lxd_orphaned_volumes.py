"""Which custom volumes of an LXD server are deleted as orphaned."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.disks.volume_names import volume_name
from common.errors import NotFound, WrongState
from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from rackd.drivers.lxd.connection.client import Client, Scope
from rackd.drivers.lxd.guests.disks.volumes import delete_orphaned
from tests.doubles.signatures import in_place_of

MARKER = OwnershipMarker(installation_id=UUID(int=7), machine_id=uuid4())
NAME = volume_name(MARKER, 0)
SCOPE = Scope(project="vms")


class Volumes:
    """The storage pool `default` of a server: the volumes that LXD lists, and the deleted ones."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        self._listed = listed
        self.removed: list[tuple[str, str, str]] = []  # project, member, name

    def get(self, where: str, *, recursion: str, project: str) -> list[dict[str, Any]]:
        if where != "storage-pools/default/volumes/custom":
            raise NotFound("LXD: Storage pool not found.")
        return [one for one in self._listed if one["project"] == project]

    def delete(self, where: str, *, project: str, target: str) -> None:
        self.removed.append((project, target, where.rpartition("/")[2]))

    def remove(self, *wanted: VolumeRef, scope: Scope = SCOPE) -> None:
        delete_orphaned(in_place_of(Client, self), MARKER, wanted, scope, volume_project="default")


def volume(name: str = NAME, *used_by: str, project: str = "vms", location: str = "none") -> dict[str, Any]:
    return {
        "name": name, "type": "custom", "content_type": "block", "project": project, "location": location,
        "config": {"size": "1GiB"}, "used_by": list(used_by),
    }  # fmt: skip


def ref(name: str = NAME, *, pool: str = "default", project: str = "") -> VolumeRef:
    return VolumeRef(pool_id=pool, name=name, project=project)


def test_volumes_in_use_are_not_deleted() -> None:
    other = volume_name(MARKER, 1)
    volumes = Volumes(volume(NAME, "/1.0/instances/theirs?project=vms"), volume(other))
    with pytest.raises(WrongState, match=f"{NAME} in default"):
        volumes.remove(ref(), ref(other))
    assert volumes.removed == [("vms", "", other)]


def test_volumes_of_another_marker_are_not_deleted() -> None:
    other = volume_name(OwnershipMarker(installation_id=MARKER.installation_id, machine_id=uuid4()), 0)
    volumes = Volumes(volume(other), volume("theirs"))
    volumes.remove(ref(other), ref("theirs"))
    assert volumes.removed == []


def test_only_volumes_on_the_member_are_deleted() -> None:
    volumes = Volumes(volume(location="m1"), volume(NAME, "/1.0/instances/theirs", location="m2"))
    volumes.remove(ref(), scope=Scope(project="vms", member="m1"))
    assert volumes.removed == [("vms", "m1", NAME)]


def test_volumes_are_accessed_through_the_right_project() -> None:
    volumes = Volumes(volume(), volume(project="far"))
    volumes.remove(ref(project="default"))
    volumes.remove(ref(project="far"))
    assert volumes.removed == [("vms", "", NAME), ("far", "", NAME)]


def test_a_missing_pool_is_not_an_error() -> None:
    volumes = Volumes(volume())
    volumes.remove(ref(pool="lost"), ref())
    assert volumes.removed == [("vms", "", NAME)]
