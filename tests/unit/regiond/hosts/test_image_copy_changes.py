"""What a discovery run changes of the copies of images, and where a deployment needs one."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.guests.deployment_spec import ImageFormat, ImageRef
from common.hosts.discovery import Discovery, ImageCopy
from common.values import DriverType
from regiond.hosts.image_copies.model import (
    CopyPlace,
    CopySnapshot,
    CopyState,
    ImageCopyRecord,
    copy_changes,
    places_of,
)
from tests.unit.support.discovery_samples import facts

SHA256, OTHER = "a" * 64, "b" * 64
KNOWN = ImageCopyRecord(pool_id="main", project="", sha256=SHA256, size_bytes=100, state=CopyState.COMPLETE)
IMAGE = ImageRef(sha256=SHA256, size_bytes=100, virtual_size_bytes=900, format=ImageFormat.QCOW2)


def run(*copies: ImageCopy, pools: tuple[str, ...] = ("main",)) -> Discovery:
    return Discovery(facts=facts(), guests=(), image_copies=copies, image_pools=pools)


def found(pool_id: str = "main", **fields: object) -> ImageCopy:
    return ImageCopy(**{"sha256": SHA256, "pool_id": pool_id, "size_bytes": 100, **fields})  # type: ignore[arg-type]


def known(*records: ImageCopyRecord, project: str = "") -> CopySnapshot:
    return CopySnapshot(project=project, copies={record.key: record for record in records})


@pytest.mark.parametrize("pool_type", ["dir", "zfs"])
def test_an_iso_image_is_in_the_pool_alone(pool_type: str) -> None:
    iso = evolve(IMAGE, iso=True, virtual_size_bytes=100)
    assert places_of(iso, DriverType.LXD, pool_type) == (CopyPlace(in_pool=True, size_bytes=100),)


def test_a_copy_that_was_found_is_written() -> None:
    changes = copy_changes(run(found()), known())
    assert changes.written == (KNOWN,)
    assert changes.deleted == ()


def test_a_copy_that_is_known_is_no_change() -> None:
    changes = copy_changes(run(found()), known(KNOWN))
    assert (changes.written, changes.deleted) == ((), ())


@pytest.mark.parametrize(
    ("copy", "record"),
    [
        (found(size_bytes=120), evolve(KNOWN, size_bytes=120)),
        (found(complete=False), evolve(KNOWN, state=CopyState.PARTIAL)),
    ],
    ids=["size", "incomplete"],
)
def test_what_the_host_has_replaces_what_was_known(copy: ImageCopy, record: ImageCopyRecord) -> None:
    assert copy_changes(run(copy), known(KNOWN)).written == (record,)


def test_a_copy_that_is_gone_is_deleted() -> None:
    assert copy_changes(run(), known(KNOWN)).deleted == (KNOWN.key,)


def test_a_pool_that_could_not_be_listed_loses_no_copy() -> None:
    assert copy_changes(run(pools=("other",)), known(KNOWN)).deleted == ()
    assert copy_changes(run(pools=()), known(KNOWN)).deleted == ()


@pytest.mark.parametrize("copies", [(), (found(complete=False, size_bytes=7),)], ids=["absent", "half"])
def test_a_copy_of_an_open_deployment_is_not_changed(copies: tuple[ImageCopy, ...]) -> None:
    under_way = evolve(KNOWN, state=CopyState.COPYING, settled=False)
    changes = copy_changes(run(*copies), known(under_way))
    assert (changes.written, changes.deleted) == ((), ())


def test_the_store_of_another_project_is_not_judged() -> None:
    theirs = evolve(KNOWN, pool_id="", project="theirs")
    ours = evolve(KNOWN, pool_id="", project="ours", sha256=OTHER)
    changes = copy_changes(run(found(""), pools=("",)), known(theirs, ours, project="ours"))
    assert changes.written == (evolve(KNOWN, pool_id="", project="ours"),)
    assert changes.deleted == (ours.key,)


@pytest.mark.parametrize(
    ("driver", "pool_type", "in_pool_bytes"),
    [
        (DriverType.SIMULATED, "dir", 100),
        (DriverType.LIBVIRT, "dir", 100),
        (DriverType.LIBVIRT, "logical", 900),  # a block device holds the whole disk
        (DriverType.LXD, "dir", None),
        (DriverType.LXD, "zfs", 900),
    ],
)
def test_where_a_deployment_needs_a_copy(driver: DriverType, pool_type: str, in_pool_bytes: int | None) -> None:
    in_store = (CopyPlace(in_pool=False, size_bytes=100),) if driver is DriverType.LXD else ()
    in_pool = () if in_pool_bytes is None else (CopyPlace(in_pool=True, size_bytes=in_pool_bytes),)
    assert places_of(IMAGE, driver, pool_type) == (*in_store, *in_pool)
