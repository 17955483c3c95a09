"""Parsing of the API description into commands."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest
from innkeeper.api_description import command_of, documented_fields, read_description, similar
from innkeeper.help import help_for
from tests.unit.support.cli_region import description


@pytest.mark.parametrize(
    ("handler", "command"),
    [
        ("VmHostsHandler", "vm-hosts"),
        ("VmHostHandler", "vm-host"),
        ("ResourcePoolHandler", "resource-pool"),
        ("BlockDevicesHandler", "block-devices"),
        ("VersionHandler", "version"),
        ("IPRangesHandler", "ipranges"),
        ("RpcClientsHandler", "rpc-clients"),
    ],
)
def test_a_handlers_name_becomes_a_command(handler: str, command: str) -> None:
    assert command_of(handler) == command


def test_operations_become_actions_with_hyphens() -> None:
    host = read_description(description()).resources["vm-host"]
    assert set(host.actions) == {"read", "delete", "compose", "refresh", "add-tag"}
    assert host.actions["add-tag"].op == "add_tag"
    assert host.actions["read"].op is None
    assert (host.path, host.params) == ("vm-hosts/{id}/", ("id",))


def test_fields_are_found_with_and_without_a_type() -> None:
    doc = "Title.\n\n:param cores: how many.\n  :param int memory: MiB\n:type memory: int\n:param cores: again"
    assert documented_fields(doc) == ("cores", "memory")


def test_the_anonymous_handler_is_used_if_it_is_the_only_one() -> None:
    plain = description()
    first = plain["resources"][0]
    first["anon"], first["auth"] = first["auth"], None
    assert "vm-hosts" in read_description(plain).resources


@pytest.mark.parametrize(
    "plain", [[], {}, {"resources": 3, "hash": ""}, {"resources": [{"name": "X"}], "hash": ""}, None]
)
def test_invalid_descriptions_are_rejected(plain: object) -> None:
    with pytest.raises(InvalidRequest, match="description"):
        read_description(plain)


def test_a_misspelt_word_finds_similar_ones() -> None:
    assert similar("vmhost", ["vm-host", "vm-hosts", "zone"])[0] == "vm-host"
    assert similar("quite-else", ["vm-host"]) == []


def test_help_covers_all_resources_one_resource_and_one_action() -> None:
    described = read_description(description())
    assert "  vm-hosts   " in help_for("admin", described, [])
    assert "innkeeper admin vm-host compose ID [key=value …]" in help_for("admin", described, ["vm-host"])
    text = help_for("admin", described, ["vm-host", "compose"])
    assert text.startswith("usage: innkeeper admin vm-host compose ID [key=value …]")
    assert ":param cores: int: how many cores." in text
