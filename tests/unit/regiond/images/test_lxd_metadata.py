"""LXD's metadata.yaml, as LXD, distrobuilder and strangers write it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.images.inspection.lxd_metadata import LxdMetadata, parse_metadata, with_metadata
from regiond.images.model import SubmittedImage

YAML = """\
architecture: "x86_64"
creation_date: 1732166640
expiry_date: 1734758640
properties:
    architecture: amd64
    description: Debian bookworm amd64 (20261121_05:24)
    os: Debian   # as distrobuilder writes it
    release: 'bookworm'
    nested:
        os: other
templates:
    /etc/hostname:
        os: no property
        when:
            - create
"""
FOUND = LxdMetadata(architecture="amd64", name="debian/bookworm", title="Debian bookworm amd64 (20261121_05:24)")


def test_the_properties_of_an_image_are_read() -> None:
    assert parse_metadata(YAML) == FOUND


def test_json_is_read_too() -> None:
    said = {"os": "Debian", "release": "bookworm", "description": FOUND.title}
    assert parse_metadata(json.dumps({"architecture": "x86_64", "properties": said})) == FOUND


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "architecture: vax", "properties: text", "properties:\n  os: a/b\n  release: c", "[" * 100_000,
     "properties:\n  os: ../..\n  release: x y\n  description: \x1b[31m"],
)  # fmt: skip
def test_what_cannot_be_used_is_left_out(text: str) -> None:
    assert parse_metadata(text) == LxdMetadata()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    parse_metadata(text)
    parse_metadata(f"architecture: x86_64\nproperties:\n  os: {text}\n")


def test_it_fills_in_what_the_user_left_out() -> None:
    filled = with_metadata(SubmittedImage(name="", architecture=""), FOUND)
    assert (filled.name, filled.architecture, filled.title) == ("debian/bookworm", "amd64", FOUND.title)
    given = SubmittedImage(name="mine", architecture="amd64/generic", title="Mine")
    assert with_metadata(given, FOUND) == given


def test_another_architecture_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="of an image for amd64"):
        with_metadata(SubmittedImage(name="x", architecture="arm64"), FOUND)
