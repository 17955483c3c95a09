"""Which image a deployment gets for the series that it names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from common.errors import InvalidRequest
from common.guests.deployment_spec import ImageFormat
from regiond.images.model import Image, ImageState, choose, full_name, split_architecture

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def image(name: str, **other: Any) -> Image:
    values: dict[str, Any] = {
        "id": 1000, "name": name, "title": "", "architecture": "amd64", "subarch": "generic", "filetype": "",
        "format": ImageFormat.QCOW2, "sha256": "0" * 64, "size_bytes": 1, "virtual_size_bytes": 512,
        "received_bytes": 1, "state": ImageState.READY, "error": None, "account_id": None, "created_at": NOON,
        "updated_at": NOON, "expires_at": None, "store_id": UUID(int=0),
    }  # fmt: skip
    return Image(**values | other)


NOBLE, JAMMY, OWN = image("ubuntu/noble"), image("ubuntu/jammy"), image("custom/x")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("noble", NOBLE), ("ubuntu/noble", NOBLE), (" jammy ", JAMMY), ("custom/x", OWN), ("x", OWN)],
)
def test_an_image_is_named_by_series_with_or_without_osystem(wanted: str, found: Image) -> None:
    assert choose([OWN, JAMMY, NOBLE], wanted, "amd64/generic") is found


def test_a_series_of_two_images_is_that_of_ubuntu() -> None:
    assert choose([image("custom/noble"), NOBLE], "noble", "amd64") is NOBLE
    assert refusal([image("debian/sid"), image("custom/sid")], "sid") == (
        "'sid' is the series of several images: name one of custom/sid, debian/sid."
    )


def test_without_a_series_it_is_the_default_or_the_only_one() -> None:
    uploading = image("custom/y", state=ImageState.UPLOADING)
    assert choose([NOBLE, OWN], "", "amd64", default="custom/x") is OWN
    assert choose([OWN, uploading, image("ubuntu/noble", architecture="arm64")], "", "amd64") is OWN
    assert refusal([OWN, NOBLE], "") == (
        "Name one of the images for amd64: custom/x, ubuntu/noble. None is the default. An administrator sets the "
        "default image: innkeeper maas set-config name=default_distro_series value=OSYSTEM/SERIES."
    )
    assert (
        refusal([uploading], "")
        == "There is no image for amd64 yet. An administrator can add one: innkeeper boot-resources import or create."
    )


def test_an_image_of_a_host_has_to_be_named() -> None:
    of_host = image("custom/y", host_id=3, host_name="hv", host_ids=(3, 4), store_id=None)
    assert choose([of_host, OWN], "", "amd64") is OWN
    assert choose([of_host, OWN], "y", "amd64") is of_host
    assert choose([of_host, OWN], "", "amd64", default="custom/y") is of_host
    assert refusal([of_host], "").startswith("Name one of the images for amd64: custom/y.")
    assert [of_host.is_usable_on(host) for host in (3, 4, 5, None)] == [True, True, False, False]
    assert OWN.is_usable_on(5)


def test_an_unknown_image_is_refused_with_those_that_there_are() -> None:
    assert refusal([NOBLE, OWN], "nobel") == (
        "There is no image 'nobel'; there are custom/x, ubuntu/noble. These are the images for amd64."
    )
    assert refusal([NOBLE], "noble", architecture="arm64") == (
        "There is no image 'noble', and none for arm64 yet. "
        "An administrator can add one: innkeeper boot-resources import or create."
    )


@pytest.mark.parametrize(
    ("state", "error", "reason"),
    [
        (ImageState.UPLOADING, None, "it is uploading."),
        (ImageState.CHECKING, None, "it is checking."),
        (ImageState.FAILED, "Its SHA-256 is another one.", "it is failed: Its SHA-256 is another one."),
    ],
)
def test_an_image_that_is_not_ready_is_refused_with_its_state(state: ImageState, error: str, reason: str) -> None:
    assert refusal([image("custom/x", state=state, error=error)], "x") == f"The image custom/x is not ready, {reason}"


def test_names_and_architectures_have_defaults() -> None:
    assert (full_name("x"), full_name("ubuntu/noble")) == ("custom/x", "ubuntu/noble")
    assert (NOBLE.osystem, NOBLE.series) == ("ubuntu", "noble")
    assert split_architecture("amd64") == ("amd64", "generic")
    assert split_architecture("arm64/ga-24.04") == ("arm64", "ga-24.04")


def refusal(images: list[Image], wanted: str, *, architecture: str = "amd64") -> str:
    with pytest.raises(InvalidRequest) as refused:
        choose(images, wanted, architecture)
    assert list(refused.value.fields) == ["distro_series"]
    return refused.value.fields["distro_series"][0]
