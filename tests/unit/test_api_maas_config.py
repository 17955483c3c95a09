"""The settings of MAAS that clients read before they deploy."""

from __future__ import annotations

import pytest
from attrs import evolve

from regiond.api.declaration.endpoint import SiteInfo
from regiond.images.model import ImageState
from tests.unit.api_double import ApiDouble
from tests.unit.api_samples import IMAGE

NOBLE = evolve(IMAGE, state=ImageState.READY)
OTHER = evolve(NOBLE, id=1001, name="custom/rocky")


def default_of(api: ApiDouble) -> tuple[str, str]:
    return (
        api.json("GET", "maas/", op="get_config", form={"op": "get_config", "name": "default_osystem"}),
        api.json("GET", "maas/", op="get_config", form={"op": "get_config", "name": "default_distro_series"}),
    )


@pytest.mark.parametrize(
    ("configured", "expected"),
    [("custom/rocky", ("custom", "rocky")), ("noble", ("ubuntu", "noble")), (" ubuntu/noble ", ("ubuntu", "noble"))],
)
def test_the_configured_image_is_the_default(configured: str, expected: tuple[str, str]) -> None:
    assert default_of(ApiDouble(info=SiteInfo(default_distro_series=configured))) == expected


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
def test_without_a_setting_the_only_image_is_the_default(images: object, expected: tuple[str, str]) -> None:
    api = ApiDouble()
    api.answers["images.list"] = images
    assert default_of(api) == expected


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


def test_settings_are_not_changed_by_clients(api: ApiDouble) -> None:
    reply = api.request("POST", "maas/", query="op=set_config", form={"name": "ntp_servers", "value": "a"})
    assert (reply.status, reply.body.partition(b":")[0]) == (400, b"not part of Innkeeper")
