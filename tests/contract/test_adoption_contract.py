"""What every driver promises of adoption: the mark comes and goes, and nothing else of a guest changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import NameTaken, NotFound
from common.values import Guest, GuestRef, Mark, PowerAction, PowerState
from tests.contract.benches import BENCHES, INSTALLATION, Bench, MakeBench, spec_for

GRACE_S = 0.5


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    make: MakeBench = request.param
    made = make(tmp_path)
    yield made
    made.close()


def stranger(bench: Bench, name: str = "stranger") -> Guest:
    """A guest that somebody else made, as a discovery lists it."""
    bench.make_foreign(f"{bench.prefix}{name}")
    return listed(bench, f"{bench.prefix}{name}")


def listed(bench: Bench, name: str) -> Guest:
    (found,) = [guest for guest in bench.driver.discover().guests if guest.name == name]
    return found


def mark_for(guest: Guest) -> Mark:
    """The machine takes the guest's own id where that is a UUID; on libvirt it has to."""
    try:
        machine_id = UUID(guest.guest_id)
    except ValueError:
        machine_id = uuid4()
    return Mark(installation_id=INSTALLATION, machine_id=machine_id)


def adopt(bench: Bench, guest: Guest, mark: Mark | None = None) -> Guest:
    return bench.driver.adopt(guest.guest_id, guest.name, mark or mark_for(guest))


def bare(guest: Guest) -> Guest:
    """What both a listing and a closer look tell, without the mark."""
    disks = tuple(evolve(disk, serial=None) for disk in guest.disks)
    return evolve(guest, mark=None, disks=disks, nics=(), architecture="", pinned_core_ids=())


def test_adopting_gives_a_guest_the_mark_and_changes_nothing_else(bench: Bench) -> None:
    before, volumes = stranger(bench), bench.volumes()
    adopted = adopt(bench, before)
    assert adopted.mark == mark_for(before)
    assert bare(adopted) == bare(before)
    assert bare(listed(bench, before.name)) == bare(before)
    assert bench.volumes() == volumes
    assert bench.driver.find(GuestRef(name=before.name, mark=mark_for(before))) == adopted


def test_a_running_guest_goes_on_running_when_it_is_adopted_and_when_it_is_let_go(bench: Bench) -> None:
    found = stranger(bench)
    bench.start(found.name)
    assert adopt(bench, found).power is PowerState.ON
    bench.driver.disown(found.guest_id, found.name, mark_for(found))
    assert listed(bench, found.name).power is PowerState.ON


def test_adopting_again_is_harmless(bench: Bench) -> None:
    found = stranger(bench)
    assert adopt(bench, found) == adopt(bench, found)


def test_a_guest_is_adopted_by_its_id_whatever_its_name_was(bench: Bench) -> None:
    found = stranger(bench)
    adopted = bench.driver.adopt(found.guest_id, f"{bench.prefix}other", mark_for(found))
    assert adopted.name == found.name


def test_a_guest_that_is_gone_cannot_be_adopted(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.driver.adopt(
            str(uuid4()), f"{bench.prefix}nobody", Mark(installation_id=INSTALLATION, machine_id=uuid4())
        )


def test_a_guest_with_another_mark_keeps_it(bench: Bench) -> None:
    found = stranger(bench)
    first = adopt(bench, found)
    others = evolve(mark_for(found), installation_id=uuid4())
    with pytest.raises(NameTaken, match=found.name):
        adopt(bench, found, others)
    bench.driver.disown(found.guest_id, found.name, others)
    assert bench.driver.find(GuestRef(name=found.name, mark=mark_for(found))) == first


def test_an_adopted_guest_obeys_as_a_composed_one_does(bench: Bench) -> None:
    found = stranger(bench)
    ref = GuestRef(name="the-machine", mark=mark_for(found))
    adopt(bench, found)
    assert bench.driver.power(ref, PowerAction.ON, grace_s=GRACE_S) is PowerState.ON
    assert bench.driver.power(ref, PowerAction.FORCE_OFF, grace_s=GRACE_S) is PowerState.OFF


def test_a_guest_that_was_let_go_is_foreign_again(bench: Bench) -> None:
    before = stranger(bench)
    adopt(bench, before)
    for _ in range(2):
        bench.driver.disown(before.guest_id, before.name, mark_for(before))
        ref = GuestRef(name=before.name, mark=mark_for(before))
        assert listed(bench, before.name) == before
        assert bench.driver.find(ref) is None
        with pytest.raises(NotFound):
            bench.driver.power(ref, PowerAction.ON, grace_s=GRACE_S)
    bench.driver.decompose(GuestRef(name=before.name, mark=mark_for(before)))
    assert listed(bench, before.name) == before


def test_letting_go_of_a_guest_that_is_gone_is_success(bench: Bench) -> None:
    bench.driver.disown(str(uuid4()), f"{bench.prefix}gone", Mark(installation_id=INSTALLATION, machine_id=uuid4()))


def test_the_mark_is_taken_off_the_guest_that_is_meant_exactly_or_off_none(bench: Bench) -> None:
    found = stranger(bench)
    adopted = adopt(bench, found)
    mark, nobody = mark_for(found), f"{bench.prefix}nobody"
    for guest_id, name, carried in (
        (found.guest_id, nobody, mark),
        (str(uuid4()), found.name, mark),
        (found.guest_id, found.name, evolve(mark, installation_id=uuid4())),
    ):
        with pytest.raises(NotFound, match=name):
            bench.driver.disown(guest_id, name, carried, exactly=True)
    assert bench.driver.find(GuestRef(name=found.name, mark=mark)) == adopted
    for _ in range(2):  # whoever was not told asks again
        bench.driver.disown(found.guest_id, found.name, mark, exactly=True)
        assert listed(bench, found.name) == found


def test_a_composed_guest_can_be_let_go_and_adopted_again(bench: Bench) -> None:
    spec = spec_for(bench, "mine")
    composed = bench.driver.compose(spec)
    assert listed(bench, composed.name).mark == spec.mark
    bench.driver.disown(composed.guest_id, composed.name, spec.mark)
    assert bench.driver.find(spec.ref) is None
    assert listed(bench, composed.name).mark is None  # whatever its disks are called
    assert bench.driver.adopt(composed.guest_id, composed.name, spec.mark) == composed


def test_decomposing_an_adopted_guest_removes_it_and_none_of_its_volumes(bench: Bench) -> None:
    found = stranger(bench)
    adopt(bench, found)
    before = bench.volumes()
    disks = tuple((disk.pool_id, disk.volume) for disk in found.disks if disk.pool_id and disk.volume)
    assert set(disks) <= before
    bench.driver.decompose(GuestRef(name=found.name, mark=mark_for(found)), disks)
    assert found.name not in {guest.name for guest in bench.driver.discover().guests}
    assert bench.volumes() == before
