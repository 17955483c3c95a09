"""Full disks of servers of LXD and Incus: whatever they were to write, that is a lack of capacity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.errors import DriverFailed, OutOfCapacity
from rackd.drivers.lxd.connection import failures
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.connection.dialect import LXD
from rackd.drivers.lxd.connection.failures import NoSpace
from tests.contract.disks.test_disk_content_contract import image_of
from tests.contract.hardware.test_iso_contract import copied
from tests.contract.running.test_deployment_contract import composed, content, seed
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-6-double", "incus-double"}], indirect=True
)
REASON = "Failed writing: write /var/lib/storage: No space left on device"


def copies_image(host: CapableFixture) -> Callable[[], object]:
    source = content()
    return lambda: host.driver.copy_image(source.image, host.pool_id, source)


def copies_iso(host: CapableFixture) -> Callable[[], object]:
    return lambda: copied(host, b"large")


def deploys(host: CapableFixture) -> Callable[[], object]:
    spec, source = composed(host, "full"), content()
    host.driver.copy_image(source.image, host.pool_id, source)
    return lambda: host.driver.deploy(spec, source.image, seed())


def reads(host: CapableFixture) -> Callable[[], object]:
    spec = composed(host, "full")
    return lambda: host.driver.begin_read(spec.ref, spec.disks[1].pool_id, spec.disks[1].volume)


def fills(host: CapableFixture, number: int) -> Callable[[], object]:
    spec = composed(host, "full")
    image, data = image_of([], spec.disks[number].size_bytes)
    return lambda: host.driver.fill_disk(spec, spec.disks[number].volume, image, data)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (copies_image, "the disk with its images has no space"),
        (copies_iso, "no space for an ISO image"),
        (deploys, "has no space for the image"),
        (reads, "has no space for a copy of the disk"),
        (lambda host: fills(host, 0), "has no space"),
        (lambda host: fills(host, 1), "no space for the content"),
    ],
)
def test_a_full_disk_is_a_lack_of_capacity(
    host: CapableFixture, monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[CapableFixture], Callable[[], object]], message: str,
) -> None:  # fmt: skip
    write, error = prepare(host), failures.of_operation(REASON, LXD)
    assert type(error) is NoSpace

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Client, "upload", refuse)
    monkeypatch.setattr(Client, "post", refuse)
    with pytest.raises(OutOfCapacity, match=message):
        write()


def test_another_failure_is_none(host: CapableFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    write, error = copies_iso(host), failures.of_operation("Failed writing: input/output error", LXD)

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Client, "upload", refuse)
    with pytest.raises(DriverFailed) as raised:
        write()
    assert raised.value is error
