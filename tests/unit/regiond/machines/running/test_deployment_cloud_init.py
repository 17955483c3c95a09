"""The cloud-init data of a deployment: meta data, user data and their merge."""

from __future__ import annotations

import email
import gzip
import json
from email.message import Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses.report_url import ReportAddress, ReportPage, find_report, report_url
from common.guests.guest_spec import NicSpec
from common.values import NicKind
from regiond.machines.running.deployment import mime_parts
from regiond.machines.running.deployment.cloud_init import CloudInitInput, cloud_init_seed, included_user_data
from regiond.machines.running.deployment.mime_parts import Part
from regiond.machines.running.deployment.network_config import NicNetwork

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBRHMsdJOmMlQ9ApBa8fDjhVAL+aiAcM3xsWtGXMTOrz"
SECRET = "s" * 32
USERS = b"#cloud-config\nusers: [alice]\nphone_home: {url: 'http://mine/'}\nhostname: mine\n"


def source(**fields: Any) -> CloudInitInput:
    known: dict[str, Any] = {
        "instance_id": "7d0c2c0e",
        "hostname": "web1",
        "domain": "lab.example",
        "ssh_keys": (KEY,),
        "report_url": report_url("http://10.0.0.1:5240", 7, SECRET),
        "report_within_s": 1800.0,
    }
    return CloudInitInput(**{**known, **fields})


def parts(**fields: Any) -> list[Message]:
    return leaves(cloud_init_seed(source(**fields)).user_data)


def leaves(user_data: bytes) -> list[Message]:
    message = email.message_from_bytes(user_data)
    assert not message.defects
    assert message.is_multipart()
    return [part for part in message.walk() if not part.is_multipart()]


def text(part: Message) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


def config(part: Message) -> Any:
    begin, _, document = text(part).partition("\n")
    assert (begin, part.get_content_type()) == ("#cloud-config", "text/cloud-config")
    return json.loads(document)


def ours(**fields: Any) -> dict[str, Any]:
    return {str(part.get_filename()): config(part) for part in parts(**fields) if is_ours(part)}


def is_ours(part: Message) -> bool:
    return str(part.get_filename()).startswith("innkeeper-")


def test_the_meta_data_identify_the_deployment() -> None:
    assert json.loads(cloud_init_seed(source()).meta_data) == {
        "instance-id": "7d0c2c0e",
        "local-hostname": "web1.lab.example",
        "public-keys": [KEY],
    }


def test_the_guest_gets_keys_names_and_the_address_to_report_to() -> None:
    found = ours()
    assert found["innkeeper-settings"] == {"ssh_authorized_keys": [KEY], "manage_etc_hosts": "localhost"}
    assert found["innkeeper-report"] == {
        "hostname": "web1",
        "fqdn": "web1.lab.example",
        "preserve_hostname": False,
        "phone_home": {
            "url": f"http://10.0.0.1:5240/MAAS/report/7/{SECRET}",
            "post": ["instance_id", "hostname", "fqdn"],
            "tries": 100,
        },
    }


def test_a_guest_without_a_domain_has_its_hostname_as_full_name() -> None:
    assert ours(domain="")["innkeeper-report"]["fqdn"] == "web1"


@pytest.mark.parametrize(("within_s", "tries"), [(0.0, 5), (600.0, 60), (86400.0, 100)])
def test_the_report_is_tried_within_the_time_limit(within_s: float, tries: int) -> None:
    assert ours(report_within_s=within_s)["innkeeper-report"]["phone_home"]["tries"] == tries


def test_our_parts_follow_the_users_and_decide_how_to_merge() -> None:
    found = parts(user_data=USERS)
    assert [is_ours(part) for part in found] == [False, True, True, True, True]
    assert text(found[0]).encode() == USERS
    assert "Merge-Type" not in found[0], "the user's part is merged by cloud-init's own default"
    assert {str(part.get_filename()): part["Merge-Type"] for part in found[1:]} == {
        "innkeeper-settings": "list(append)+dict(no_replace,recurse_list)",
        "innkeeper-default-user": "list(append)+dict(no_replace,recurse_list)",
        "innkeeper-default-user-map": "dict(no_replace)",
        "innkeeper-report": "dict(replace)",
    }
    assert list(config(found[-1])) == ["hostname", "fqdn", "preserve_hostname", "phone_home"], "these alone replace"


@pytest.mark.parametrize(
    ("user_data", "named"),
    [
        (USERS, True),
        (b"#include\nhttp://10.0.0.1/more\n", True),
        (b"## template: jinja\n#cloud-config\nusers: [{{ v1.region }}]\n", True),
        (b"MIME-Version: 1.0\nContent-Type: application/gzip\n\n", True),
        (b"#cloud-config\npackages: [vim]\n", False),
        (b"#!/bin/sh\nusers\n", False),
        (None, False),
    ],
)
def test_the_default_user_is_named_beside_users_of_the_user(user_data: bytes | None, named: bool) -> None:
    found = ours(user_data=user_data)
    assert ("innkeeper-default-user" in found) == named
    if named:
        assert found["innkeeper-default-user"] == {"users": ["default"]}
        assert found["innkeeper-default-user-map"] == {"users": {"default": True}}


def test_further_settings_of_ours_are_appended() -> None:
    found = ours(user_data=USERS, additions={"packages": ["qemu-guest-agent"]})
    assert found["innkeeper-settings"]["packages"] == ["qemu-guest-agent"]


def test_the_network_is_that_of_the_nics() -> None:
    nic = NicSpec(name="eth0", mac_address="52:54:00:00:00:0A", kind=NicKind.BRIDGE)
    seed = cloud_init_seed(source(nics=(NicNetwork(nic=nic),)))
    assert json.loads(seed.network_config)["ethernets"]["eth0"]["dhcp4"] is True


def test_a_seed_has_no_line_that_a_user_could_forge() -> None:
    """Content is in base64: neither our boundary nor bytes that are not ASCII can appear in it."""
    hostile = b"#!/bin/sh\n--=_innkeeper_=\nContent-Type: text/cloud-config\n\n#cloud-config\nphone_home: {}\n\xc3\xa9"
    found = parts(user_data=hostile)
    assert [text(part).encode() == hostile for part in found] == [True, False, False]
    assert cloud_init_seed(source(user_data=hostile)).user_data.isascii()


def test_the_report_is_found_in_the_seed() -> None:
    found = [find_report(text(part)) for part in parts(user_data=USERS)]
    assert found == [None, None, None, None, ReportAddress(deployment_id=7, secret=SECRET)]


def test_short_user_data_have_an_address_in_place_of_the_users_parts() -> None:
    seed = cloud_init_seed(source(user_data=USERS))
    assert seed.short_user_data is not None
    include, *rest = leaves(seed.short_user_data)
    assert include.get_content_type() == "text/x-include-once-url"
    assert text(include) == f"#include-once\nhttp://10.0.0.1:5240/MAAS/report/7/{SECRET}/user-data\n"
    assert [part.as_bytes() for part in rest] == [part.as_bytes() for part in leaves(seed.user_data)[1:]], "ours, same"
    assert find_report(text(include)) == ReportAddress(deployment_id=7, secret=SECRET, page=ReportPage.USER_DATA)


@pytest.mark.parametrize("user_data", [None, b"", b" \n"])
def test_without_user_data_there_is_nothing_to_fetch(user_data: bytes | None) -> None:
    assert cloud_init_seed(source(user_data=user_data)).short_user_data is None


BINARY = bytes(range(256)) * 4
MIXED = mime_parts.join((
    Part(content_type="text/cloud-config", content=USERS, headers=(("Merge-Type", "list(prepend)"),)),
    Part(content_type="application/octet-stream", content=BINARY, filename="keys.bin"),
    Part(content_type="text/x-shellscript", content="#!/bin/sh\necho é\n".encode()),
))  # fmt: skip


@pytest.mark.parametrize(
    "user_data",
    [USERS, gzip.compress("#!/bin/sh\necho é\n".encode()), MIXED, gzip.compress(MIXED)],
    ids=["cloud-config", "script in gzip", "MIME", "MIME in gzip"],
)
def test_the_fetched_parts_are_those_of_the_whole_user_data(user_data: bytes) -> None:
    fetched = included_user_data(user_data)
    assert fetched.isascii(), "cloud-init decodes what it has stored as UTF-8"
    whole = leaves(cloud_init_seed(source(user_data=user_data)).user_data)
    users = [part for part in whole if not is_ours(part)]
    assert [part.as_bytes() for part in leaves(fetched)] == [part.as_bytes() for part in users]


def test_neither_secret_nor_user_data_are_shown() -> None:
    value = source(user_data=USERS)
    assert SECRET not in repr(value) + repr(cloud_init_seed(value))
    assert "alice" not in repr(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"hostname": "web1\nphone_home: {}"},
        {"hostname": "web1.lab"},
        {"hostname": ""},
        {"domain": "lab.example\n"},
        {"domain": "-lab"},
        {"domain": "lab..example"},
        {"instance_id": "a: b"},
        {"ssh_keys": (KEY + "\nssh-ed25519 AAAA",)},
        {"ssh_keys": (KEY + "\u2028",)},
        {"report_url": "ftp://10.0.0.1/"},
        {"report_url": "http://10.0.0.1/$INSTANCE_ID"},
        {"report_url": "http://10.0.0.1/ a"},
        {"report_within_s": -1.0},
    ],
)
def test_a_value_that_could_change_its_meaning_is_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(ValueError, match=name):
        source(**fields)


@given(hostname=st.text(max_size=70), key=st.text(max_size=80))
def test_names_and_keys_arrive_as_they_are_or_not_at_all(hostname: str, key: str) -> None:
    try:
        value = source(hostname=hostname, ssh_keys=(key,))
    except ValueError:
        return
    seed = cloud_init_seed(value)
    assert json.loads(seed.meta_data)["public-keys"] == [key]
    found = ours(hostname=hostname, ssh_keys=(key,))
    assert found["innkeeper-report"]["hostname"] == hostname
    assert found["innkeeper-settings"]["ssh_authorized_keys"] == [key]


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_script_arrives_as_it_is(script: str) -> None:
    content = f"#!/bin/sh\n{script}".encode()
    assert [part.get_payload(decode=True) == content for part in parts(user_data=content)] == [True, False, False]
