"""Contract of images that a host has itself: they are found, used where they are, and never changed."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import NotFound, OutOfCapacity
from common.guests.deployment_spec import HostImage, ImageFormat, ImageRef
from tests.contract.running.test_deployment_contract import composed, content, seed
from tests.contract.support.driver_fixtures import Capability, CapableFixture, requires

pytestmark = requires(Capability.OWN_IMAGES)


def ref(found: HostImage) -> ImageRef:
    """As the region sends it, if it does not know the size of the disk."""
    return ImageRef(
        sha256=found.fingerprint, size_bytes=found.size_bytes, virtual_size_bytes=0, format=ImageFormat.QCOW2,
        of_host=True,
    )  # fmt: skip


def test_an_own_image_is_found_by_alias_and_fingerprint(host: CapableFixture) -> None:
    own = host.own_image()
    found = host.driver.find_image(alias=own.alias)
    assert found.size_bytes > 0
    assert found.architecture
    assert host.driver.find_image(fingerprint=found.fingerprint) == found
    assert host.driver.find_image(fingerprint=found.fingerprint[:12]) == found


@pytest.mark.parametrize("wanted", [{"alias": "missing"}, {"fingerprint": "0" * 64}])
def test_a_missing_own_image_names_those_there_are(host: CapableFixture, wanted: dict[str, str]) -> None:
    own = host.own_image()
    with pytest.raises(NotFound, match=own.alias) as raised:
        host.driver.find_image(**wanted)
    assert next(iter(wanted.values())) in str(raised.value)


def test_a_copy_that_innkeeper_made_is_no_own_image(host: CapableFixture) -> None:
    source = content()
    host.driver.copy_image(source.image, host.pool_id, source)
    with pytest.raises(NotFound) as raised:
        host.driver.find_image(alias="missing")
    assert source.image.sha256[:12] not in str(raised.value)


@pytest.mark.clusters
def test_deploying_an_own_image_changes_nothing_of_it(host: CapableFixture) -> None:
    own, spec = host.own_image(), composed(host, "own")
    found = host.driver.find_image(alias=own.alias)
    before = host.volumes()
    for _ in range(2):
        host.driver.deploy(spec, ref(found), seed())
        assert host.root_disk_holds(spec, own.content)
    assert host.user_data(spec) == seed().user_data
    assert host.volumes() == before
    assert host.driver.discover().image_copies == ()
    host.driver.remove_image(found.fingerprint, "")
    host.driver.undeploy(spec)
    assert host.root_disk_holds(spec, None)
    assert host.driver.find_image(alias=own.alias) == found


def test_deploying_an_own_image_that_is_gone_changes_nothing(host: CapableFixture) -> None:
    own, spec = host.own_image(), composed(host, "gone")
    found = host.driver.find_image(alias=own.alias)
    host.driver.deploy(spec, ref(found), seed())
    with pytest.raises(NotFound, match="0" * 64):
        host.driver.deploy(spec, evolve(ref(found), sha256="0" * 64), seed(b"other"))
    assert host.root_disk_holds(spec, own.content)
    assert host.user_data(spec) == seed().user_data


def test_an_own_image_that_does_not_fit_changes_nothing(host: CapableFixture) -> None:
    own, large, spec = host.own_image(), host.own_image(large=True), composed(host, "small")
    host.driver.deploy(spec, ref(host.driver.find_image(alias=own.alias)), seed())
    found = host.driver.find_image(alias=large.alias)
    assert found.virtual_size_bytes is not None
    with pytest.raises(OutOfCapacity, match=str(found.virtual_size_bytes)):
        host.driver.deploy(spec, ref(found), seed(b"other"))
    assert host.root_disk_holds(spec, own.content)
    assert host.user_data(spec) == seed().user_data
