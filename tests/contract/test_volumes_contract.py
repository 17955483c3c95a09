"""What every driver promises about volumes that no guest has, held against each of them on a host of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.discovery import VolumeRef
from common.errors import WrongState
from common.values import DiskSpec, GuestSpec, Mark
from tests.contract.benches import BENCHES, INSTALLATION, Bench, MakeBench, spec_for

STRANGER = Mark(installation_id=uuid4(), machine_id=uuid4())


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    make: MakeBench = request.param
    made = make(tmp_path)
    yield made
    made.close()


def left_behind(bench: Bench, name: str) -> tuple[GuestSpec, DiskSpec]:
    """A volume that was made for a guest that never came: its second disk, which is a volume on every host."""
    spec = spec_for(bench, name, disks=2)
    bench.make_volume(spec, spec.disks[1])
    return spec, spec.disks[1]


def unused(bench: Bench, mark: Mark) -> list[tuple[str, str]]:
    found = bench.driver.discover()
    assert bench.pool_id in found.volumes_told
    return [(one.pool_id, one.name) for one in found.unused_volumes if one.mark == mark]


def refs(*disks: DiskSpec) -> list[VolumeRef]:
    return [VolumeRef(pool_id=disk.pool_id, name=disk.volume) for disk in disks]


def test_a_volume_that_no_guest_has_is_told_with_its_mark(bench: Bench) -> None:
    spec, disk = left_behind(bench, "lone")
    assert unused(bench, spec.mark) == [(disk.pool_id, disk.volume)]
    (told,) = [one for one in bench.driver.discover().unused_volumes if one.mark == spec.mark]
    assert told.size_bytes in {None, disk.size_bytes}
    bench.driver.remove_volumes(spec.mark, refs(disk))


def test_volumes_of_guests_are_not_among_the_unused(bench: Bench) -> None:
    spec = spec_for(bench, "has", disks=2)
    bench.driver.compose(spec)
    assert unused(bench, spec.mark) == []


def test_an_unused_volume_is_removed_and_removing_it_again_is_harmless(bench: Bench) -> None:
    before = bench.volumes()
    spec, disk = left_behind(bench, "away")
    for _ in range(2):
        bench.driver.remove_volumes(spec.mark, refs(disk))
        assert bench.volumes() == before
    assert unused(bench, spec.mark) == []


def test_the_volumes_of_a_guest_stay_and_so_does_the_guest(bench: Bench) -> None:
    spec = spec_for(bench, "stays", disks=2)
    bench.driver.compose(spec)
    before = bench.volumes()
    with pytest.raises(WrongState, match=spec.disks[1].volume):
        bench.driver.remove_volumes(spec.mark, refs(spec.disks[1]))
    assert bench.driver.find(spec.ref) is not None
    assert bench.volumes() == before


def test_only_volumes_named_after_the_mark_are_removed(bench: Bench) -> None:
    spec, disk = left_behind(bench, "marked")
    bench.make_foreign(f"{bench.prefix}theirs")
    before = bench.volumes()
    named = [VolumeRef(pool_id=pool_id, name=name) for pool_id, name in before]
    bench.driver.remove_volumes(STRANGER, named)
    assert bench.volumes() == before
    bench.driver.remove_volumes(Mark(installation_id=INSTALLATION, machine_id=uuid4()), refs(disk))
    assert bench.volumes() == before
    bench.driver.remove_volumes(spec.mark, refs(disk))


def test_a_storage_pool_that_is_gone_has_no_volume_to_remove(bench: Bench) -> None:
    spec, disk = left_behind(bench, "nopool")
    lost = VolumeRef(pool_id="3b2a1c00-0000-4000-8000-00000000dead", name=disk.volume)
    bench.driver.remove_volumes(spec.mark, [lost, *refs(disk)])
    assert unused(bench, spec.mark) == []
