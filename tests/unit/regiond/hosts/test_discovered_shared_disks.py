"""The discovery diff: the space of a disk that several guests have is claimed once."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.values import Guest, GuestDisk
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import DiscoveryChanges
from regiond.hosts.discovery.shared_disks import with_shared_disks
from regiond.hosts.guest_record import GuestRecord
from tests.unit.support.discovery_samples import GIB, discovery, guest, machine, record, snapshot, written


def disk(volume: str | None, *, device: str = "vda", pool_id: str | None = "default", gib: int = 3) -> GuestDisk:
    return GuestDisk(device=device, size_bytes=gib * GIB, pool_id=pool_id, volume=volume)


def having(key: str, *disks: GuestDisk, machine: int | None = None, project: str = "") -> Guest:
    return evolve(guest(key, machine=machine, project=project), disks=disks)


def counted(changes: DiscoveryChanges) -> dict[str, int]:
    return {one.guest_key: one.disk_bytes().get("default", 0) // GIB for one in changes.guests_written}


def test_a_disk_of_two_foreign_guests_counts_once() -> None:
    found = discovery(having("a", disk("data"), disk("own", device="vdb")), having("b", disk("data")))
    changes = compare(found, snapshot())
    assert counted(changes) == {"a": 6, "b": 0}
    assert compare(found, written(snapshot(), changes)).none


def test_the_machine_counts_a_disk_that_a_foreign_guest_has_too() -> None:
    managed = having("z", disk("data"), machine=1)
    changes = compare(discovery(having("a", disk("data")), managed), snapshot(machine(1)))
    assert counted(changes) == {"a": 0, "z": 3}


def test_whoever_counted_the_disk_goes_on_to_count_it() -> None:
    """Otherwise a claim would move between guests, with an event for each machine."""
    before = snapshot(guests=[record(having("b", disk("data")))])
    changes = compare(discovery(having("a", disk("data")), having("b", disk("data"))), before)
    assert counted(changes) == {"a": 0}


def test_the_next_guest_counts_the_disk_of_one_that_is_gone() -> None:
    both = discovery(having("a", disk("data")), having("b", disk("data")))
    known = written(snapshot(), compare(both, snapshot()))
    assert counted(compare(discovery(having("b", disk("data"))), known)) == {"b": 3}
    detached = discovery(having("a"), having("b", disk("data")))
    assert counted(compare(detached, known)) == {"a": 0, "b": 3}


def test_a_guest_with_one_volume_in_two_disks_counts_it_once() -> None:
    changes = compare(discovery(having("a", disk("data"), disk("data", device="vdb"))), snapshot())
    assert counted(changes) == {"a": 3}


def test_only_the_same_volume_is_shared() -> None:
    guests = (
        having("a", disk("data")), having("b", disk("data", pool_id="fast")), having("c", disk("other")),
        having("d", disk(None)), having("e", disk(None)), having("f", disk("data"), project="p"),
    )  # fmt: skip
    changes = compare(discovery(*guests), snapshot())
    assert counted(changes) == {"a": 3, "b": 0, "c": 3, "d": 3, "e": 3, "f": 3}
    assert [one.disk_bytes() for one in changes.guests_written if one.guest_key == "b"] == [{"fast": 3 * GIB}]


VOLUMES = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3)


@given(first=st.lists(VOLUMES, max_size=5), second=st.lists(VOLUMES, max_size=5))
def test_each_volume_is_counted_exactly_once(first: list[list[str]], second: list[list[str]]) -> None:
    known: dict[tuple[str, str], GuestRecord] = {}
    for guests in (first, second):
        found = [
            record(having(str(number), *(disk(name, device=f"vd{place}") for place, name in enumerate(names))))
            for number, names in enumerate(guests)
        ]
        counted_once = with_shared_disks(found, known)
        names = [one["volume"] for guest in counted_once for one in guest.disks if not one.get("shared")]
        assert sorted(names) == sorted({name for guest in guests for name in guest})
        assert with_shared_disks(counted_once, {one.key: one for one in counted_once}) == counted_once
        known = {one.key: one for one in counted_once}
