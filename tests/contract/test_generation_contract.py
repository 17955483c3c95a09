"""Contract of the generation: written beside the marker, reported by discovery, never lowered, not inherited."""

from __future__ import annotations

from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import NotFound
from common.guest_facts import MAX_GENERATION
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerAction, PowerState
from tests.contract.running.test_deployment_contract import content, seed
from tests.contract.support.driver_fixtures import (
    EVERY_HOST,
    Capability,
    CapableFixture,
    DriverFixture,
    requires,
    spec_for,
)
from tests.contract.test_clone_contract import CLONES, cloned

GRACE_S = 0.1


def composed(host: DriverFixture, name: str, *, generation: int | None = None) -> GuestSpec:
    spec = spec_for(host, name)
    host.driver.compose(spec)
    if generation is not None:
        host.driver.set_generation(spec.ref, generation)
    return spec


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == spec.name]
    return found


def found(host: DriverFixture, spec: GuestSpec) -> Guest:
    guest = host.driver.find(spec.ref)
    assert guest is not None
    return guest


@pytest.mark.clusters
@EVERY_HOST
def test_only_the_generation_of_a_guest_changes(host: DriverFixture) -> None:
    spec = composed(host, "written")
    before, before_listed, volumes = found(host, spec), listed(host, spec), host.volumes()
    assert (before.generation, before_listed.generation) == (0, 0)
    for generation in (0, 1, 1, 7, MAX_GENERATION):
        host.driver.set_generation(spec.ref, generation)
        assert found(host, spec) == evolve(before, generation=generation)
        assert listed(host, spec) == evolve(before_listed, generation=generation)
    assert host.volumes() == volumes


@EVERY_HOST
def test_a_generation_is_never_lowered(host: DriverFixture) -> None:
    spec = composed(host, "lowered", generation=12)
    for lower in (9, 0):
        host.driver.set_generation(spec.ref, lower)
        assert listed(host, spec).generation == 12


@pytest.mark.clusters
@EVERY_HOST
def test_a_running_guest_gets_a_generation_for_good(host: DriverFixture) -> None:
    spec = composed(host, "runs", generation=1)
    host.driver.power(spec.ref, PowerAction.ON, grace_s=GRACE_S)
    assert (listed(host, spec).generation, listed(host, spec).power) == (1, PowerState.ON)
    host.driver.set_generation(spec.ref, 2)
    assert (listed(host, spec).generation, listed(host, spec).power) == (2, PowerState.ON)
    for action in (PowerAction.FORCE_OFF, PowerAction.ON):
        host.driver.power(spec.ref, action, grace_s=GRACE_S)
        assert (found(host, spec).generation, listed(host, spec).generation) == (2, 2)


@EVERY_HOST
def test_composing_again_keeps_the_generation(host: DriverFixture) -> None:
    spec = composed(host, "again", generation=3)
    assert host.driver.compose(spec).generation == 3


@EVERY_HOST
def test_only_the_guest_with_the_marker_gets_a_generation(host: DriverFixture) -> None:
    spec = spec_for(host, "theirs", installation_id=uuid4())
    host.driver.compose(spec)
    before = listed(host, spec)
    for other in (evolve(spec_for(host, "theirs").ref, name=spec.name), spec_for(host, "missing").ref):
        with pytest.raises(NotFound):
            host.driver.set_generation(other, 1)
    assert listed(host, spec) == before


@EVERY_HOST
def test_a_disowned_guest_has_no_generation_even_when_adopted(host: DriverFixture) -> None:
    spec = composed(host, "disowned", generation=4)
    before = found(host, spec)
    host.driver.disown(before.guest_id, before.name, spec.marker)
    assert (listed(host, spec).marker, listed(host, spec).generation) == (None, None)
    assert host.driver.adopt(before.guest_id, before.name, spec.marker) == evolve(before, generation=0)
    assert listed(host, spec).generation == 0
    host.driver.set_generation(spec.ref, 1)
    assert listed(host, spec).generation == 1


@EVERY_HOST
def test_adopting_a_guest_of_ours_again_keeps_the_generation(host: DriverFixture) -> None:
    spec = composed(host, "adopted", generation=5)
    before = found(host, spec)
    assert host.driver.adopt(before.guest_id, before.name, spec.marker) == before


@EVERY_HOST
def test_a_discovery_run_reads_generations_without_more_calls(host: DriverFixture) -> None:
    spec = composed(host, "counted")
    host.driver.discover()
    before = host.driver.discover().calls
    host.driver.set_generation(spec.ref, 1)
    assert listed(host, spec).generation == 1  # a driver may read a guest again after its change
    assert host.driver.discover().calls == before


@CLONES
def test_a_clone_does_not_inherit_the_generation(host: CapableFixture) -> None:
    source = composed(host, "source", generation=6)
    spec, guest = cloned(host, source)
    assert (guest.generation, listed(host, spec).generation) == (0, 0)
    host.driver.set_generation(spec.ref, 1)
    assert (listed(host, spec).generation, listed(host, source).generation) == (1, 6)


@requires(Capability.DEPLOYMENT)
def test_a_new_root_disk_keeps_the_generation(host: CapableFixture) -> None:
    image, spec = content(), composed(host, "deployed", generation=8)
    host.driver.copy_image(image.image, host.pool_id, image)
    host.driver.deploy(spec, image.image, seed())
    assert listed(host, spec).generation == 8
    host.driver.undeploy(spec)
    assert (found(host, spec).generation, listed(host, spec).generation) == (8, 8)
