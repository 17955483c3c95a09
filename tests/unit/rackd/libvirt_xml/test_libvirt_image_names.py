"""Volumes with images: which are complete, and which a killed rack has left behind."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.disks.volume_names import marker_of_artifact
from rackd.drivers.libvirt.image_names import (
    STALE_AFTER_S,
    ImageUpload,
    abandoned_volumes,
    complete_uploads,
    is_of_image,
    stored_images,
)

NOW_S = 1_800_000_000
UPLOAD = ImageUpload(sha256="ab" * 32, started_at_s=NOW_S, suffix="00c0ffee")
BOTH = (UPLOAD.data_volume, UPLOAD.complete_volume)
LATER_S = NOW_S + STALE_AFTER_S + 1


def test_an_upload_is_complete_with_both_volumes() -> None:
    for names in ((), BOTH[:1], BOTH[1:]):
        assert complete_uploads(names, UPLOAD.sha256) == ()
    assert complete_uploads(BOTH, UPLOAD.sha256) == (UPLOAD,)
    assert complete_uploads(BOTH, "cd" * 32) == ()


def test_the_completeness_of_another_upload_does_not_count() -> None:
    other = evolve(UPLOAD, suffix="12345678")
    assert complete_uploads((UPLOAD.data_volume, other.complete_volume), UPLOAD.sha256) == ()


def test_of_two_complete_uploads_the_older_one_is_first() -> None:
    newer = evolve(UPLOAD, started_at_s=NOW_S + 1, suffix="00000000")
    names = (newer.data_volume, newer.complete_volume, *BOTH)
    assert complete_uploads(names, UPLOAD.sha256) == (UPLOAD, newer)


def test_an_incomplete_upload_is_abandoned_after_a_while() -> None:
    assert abandoned_volumes(BOTH[:1], NOW_S + STALE_AFTER_S) == ()
    assert abandoned_volumes(BOTH[:1], LATER_S) == BOTH[:1]
    assert abandoned_volumes(BOTH[1:], LATER_S) == BOTH[1:]
    assert abandoned_volumes(BOTH, LATER_S) == ()


@given(st.sets(st.text(max_size=12) | st.sampled_from([*BOTH, f"{BOTH[0]}x", f"x{BOTH[0]}", "ik-image-1", "root"])))
def test_other_volumes_are_never_abandoned(names: set[str]) -> None:
    assert set(abandoned_volumes(names, LATER_S)) <= set(BOTH)


@given(st.sets(st.text(max_size=12) | st.sampled_from(BOTH)))
def test_no_volume_is_both_complete_and_abandoned(names: set[str]) -> None:
    complete = {name for one in complete_uploads(names, UPLOAD.sha256) for name in (one.data_volume,)}
    assert complete.isdisjoint(abandoned_volumes(names, LATER_S))


def test_images_belong_to_no_machine_and_their_names_fit_lvm() -> None:
    """Device mapper has 127 characters for group and volume, in which each hyphen counts twice."""
    for name in BOTH:
        assert marker_of_artifact(name) is None
        assert len(name) + name.count("-") <= 127 - 20


def test_stored_images_are_those_of_complete_and_incomplete_uploads() -> None:
    other = evolve(UPLOAD, sha256="cd" * 32)
    newer = evolve(UPLOAD, started_at_s=NOW_S + 1)
    names = (*BOTH, newer.data_volume, other.data_volume, "root", f"x{BOTH[0]}")
    assert stored_images(names) == {UPLOAD.sha256: (UPLOAD, newer), other.sha256: (other,)}


def test_both_volumes_of_an_upload_belong_to_its_image() -> None:
    assert all(is_of_image(name, UPLOAD.sha256) for name in BOTH)
    assert not any(is_of_image(name, "cd" * 32) for name in BOTH)
    assert not is_of_image("root", UPLOAD.sha256)
