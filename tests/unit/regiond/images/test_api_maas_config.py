"""The settings of MAAS that clients read before they deploy, and the default image, which they set."""

from __future__ import annotations

import pytest
from attrs import evolve

from regiond.images.default_image import CHOSEN, DefaultImage, with_osystem, with_series
from regiond.images.model import Image, ImageState
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import IMAGE

NOBLE = evolve(IMAGE, state=ImageState.READY)
OTHER = evolve(NOBLE, id=1001, name="custom/rocky")
CUSTOM_NOBLE = evolve(NOBLE, id=1002, name="custom/noble")


def test_clients_read_the_default_image(api: ApiDouble) -> None:
    api.answers["images.default_name"] = ("custom", "rocky")
    read = [api.json("GET", "maas/", query=f"op=get_config&name=default_{one}") for one in ("osystem", "distro_series")]
    assert read == ["custom", "rocky"]


@pytest.mark.parametrize(
    ("recorded", "configured", "expected"),
    [
        ({}, "custom/rocky", ("custom", "rocky")),
        ({}, "noble", ("ubuntu", "noble")),
        ({}, " ubuntu/noble ", ("ubuntu", "noble")),
        ({"amd64": "custom/a"}, "custom/rocky", ("custom", "rocky")),
        ({CHOSEN: "custom/b", "amd64": "custom/a"}, "custom/rocky", ("custom", "b")),
    ],
)
def test_a_choice_is_before_the_configuration_and_that_before_the_first_image(
    recorded: dict[str, str], configured: str, expected: tuple[str, str]
) -> None:
    assert DefaultImage(recorded=recorded, configured=configured).shown([NOBLE]) == expected


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((), ("ubuntu", "")),
        ((IMAGE,), ("ubuntu", "")),  # it is being uploaded
        ((OTHER,), ("custom", "rocky")),
        ((NOBLE, evolve(NOBLE, id=1002, architecture="arm64")), ("ubuntu", "noble")),
        ((NOBLE, OTHER), ("ubuntu", "")),
    ],
)
def test_if_nothing_is_recorded_the_only_image_is_the_default(
    images: tuple[Image, ...], expected: tuple[str, str]
) -> None:
    assert DefaultImage(recorded={}).shown(images) == expected


def test_a_series_is_that_of_the_present_operating_system_else_of_ubuntu() -> None:
    images = (NOBLE, CUSTOM_NOBLE, OTHER)
    assert with_series(images, "custom", "noble") == "custom/noble"
    assert with_series(images, "debian", "noble") == "ubuntu/noble"
    assert with_series(images, "custom", "ubuntu/noble") == "ubuntu/noble"


def test_an_operating_system_keeps_the_series_if_it_has_it() -> None:
    images = (NOBLE, CUSTOM_NOBLE, OTHER)
    assert with_osystem(images, "custom", "noble") == "custom/noble"
    assert with_osystem(images, "ubuntu", "rocky") == "ubuntu/noble"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("enable_http_proxy", b"false"),
        ("http_proxy", b"null"),
        ("upstream_dns", b"null"),
        ("ntp_servers", b'""'),
        ("ntp_server", b'""'),
        ("network_discovery", b'"disabled"'),
        ("default_dns_ttl", b"30"),
    ],
)
def test_what_innkeeper_does_not_do_is_off_or_not_set(api: ApiDouble, name: str, body: bytes) -> None:
    assert api.request("GET", "maas/", query=f"op=get_config&name={name}").body == body  # Terraform compares bytes
    assert api.done() == []


def test_an_unknown_setting_is_an_error_with_the_known_ones(api: ApiDouble) -> None:
    (message,) = api.rejected("GET", "maas/", query="op=get_config&name=theme")["name"]
    assert message.startswith("'theme' is not one of: default_osystem, default_distro_series, maas_name, ")
    assert message.endswith(", windows_kms_host.")


def test_only_the_default_image_is_set_by_clients(api: ApiDouble) -> None:
    reply = api.request("POST", "maas/", query="op=set_config", form={"name": "ntp_servers", "value": "a"})
    assert (reply.status, reply.body.partition(b":")[0]) == (400, b"not part of Innkeeper")
    reply = api.request("POST", "maas/", query="op=set_config", form={"name": "default_osystem", "value": "ubuntu"})
    assert (reply.status, reply.body) == (200, b"OK")
