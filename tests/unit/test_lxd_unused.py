"""Which custom volumes of an LXD server are removed when those that nothing has are asked for."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from common.discovery import VolumeRef
from common.errors import NotFound, WrongState
from common.marks import volume_name
from common.values import Mark
from rackd.drivers.lxd.client import Client
from rackd.drivers.lxd.storage import remove_unused
from rackd.drivers.lxd.survey import Place

MARK = Mark(installation_id=UUID(int=7), machine_id=uuid4())
NAME = volume_name(MARK, 0)
PLACE = Place(project="inn")


class Volumes:
    """The storage pool `default` of a server, in the words of LXD: what is in it, and what was taken out of it."""

    def __init__(self, *listed: dict[str, Any]) -> None:
        self._listed = listed
        self.removed: list[tuple[str, str, str]] = []  # project, member, name

    def get(self, where: str, *, recursion: str, project: str) -> list[dict[str, Any]]:
        if where != "storage-pools/default/volumes/custom":
            raise NotFound("LXD: Storage pool not found.")
        return [one for one in self._listed if one["project"] == project]

    def delete(self, where: str, *, project: str, target: str) -> None:
        self.removed.append((project, target, where.rpartition("/")[2]))

    def remove(self, *wanted: VolumeRef, place: Place = PLACE) -> None:
        remove_unused(cast(Client, self), MARK, wanted, place, home="default")


def volume(name: str = NAME, *used_by: str, project: str = "inn", location: str = "none") -> dict[str, Any]:
    return {
        "name": name, "type": "custom", "content_type": "block", "project": project, "location": location,
        "config": {"size": "1GiB"}, "used_by": list(used_by),
    }  # fmt: skip


def ref(name: str = NAME, *, pool: str = "default", project: str = "") -> VolumeRef:
    return VolumeRef(pool_id=pool, name=name, project=project)


def test_one_that_an_instance_uses_stays_and_the_others_go() -> None:
    other = volume_name(MARK, 1)
    volumes = Volumes(volume(NAME, "/1.0/instances/theirs?project=inn"), volume(other))
    with pytest.raises(WrongState, match=f"{NAME} in default"):
        volumes.remove(ref(), ref(other))
    assert volumes.removed == [("inn", "", other)]


def test_one_that_is_named_after_another_mark_stays() -> None:
    stranger = volume_name(Mark(installation_id=MARK.installation_id, machine_id=uuid4()), 0)
    volumes = Volumes(volume(stranger), volume("theirs"))
    volumes.remove(ref(stranger), ref("theirs"))
    assert volumes.removed == []


def test_only_the_one_on_the_member_that_was_asked_goes() -> None:
    volumes = Volumes(volume(location="m1"), volume(NAME, "/1.0/instances/theirs", location="m2"))
    volumes.remove(ref(), place=Place(project="inn", member="m1"))
    assert volumes.removed == [("inn", "m1", NAME)]


def test_what_is_at_home_is_reached_through_the_hosts_own_project_and_what_is_elsewhere_through_that() -> None:
    volumes = Volumes(volume(), volume(project="far"))
    volumes.remove(ref(project="default"))
    volumes.remove(ref(project="far"))
    assert volumes.removed == [("inn", "", NAME), ("far", "", NAME)]


def test_a_storage_pool_that_is_gone_has_none_to_remove() -> None:
    volumes = Volumes(volume())
    volumes.remove(ref(pool="lost"), ref())
    assert volumes.removed == [("inn", "", NAME)]
