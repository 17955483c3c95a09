"""Reads the description of an image in LXD's metadata.yaml. Pure.

LXD writes a flat mapping, with one nested level of properties, as YAML or JSON. Only this is read: untrusted text is
never given to a YAML parser, which understands much more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from common.errors import InvalidRequest
from regiond.images.model import ARCHITECTURES, MAX_IMAGE_TITLE, SubmittedImage, split_architecture

_KERNEL_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}
_LINE = re.compile(r"(\s*)([A-Za-z0-9_.-]{1,60})\s*:(?:\s+(.*))?", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,60}", re.ASCII)
_PROPERTIES = "properties"


@frozen(kw_only=True)
class LxdMetadata:
    """The usable values of metadata.yaml; a field without a usable value is empty."""

    architecture: str = ""
    name: str = ""  # OSYSTEM/SERIES
    title: str = ""


def parse_metadata(text: str) -> LxdMetadata:
    """Returns the metadata in the text. Never fails: text that is not understood is left out."""
    found = _json(text) or _yaml(text)
    properties = found.get(_PROPERTIES)
    said: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
    os_name, release, title = (str(said.get(name) or "") for name in ("os", "release", "description"))
    return metadata_of(str(found.get("architecture") or said.get("architecture") or ""), os_name, release, title)


def metadata_of(architecture: str, os_name: str, release: str, title: str) -> LxdMetadata:
    """Returns the metadata for LXD's values, which may be any text: unusable values are left out."""
    architecture = _KERNEL_NAMES.get(architecture, architecture)
    is_named = _WORD.fullmatch(os_name) and _WORD.fullmatch(release)
    return LxdMetadata(
        architecture=architecture if architecture in ARCHITECTURES else "",
        name=f"{os_name}/{release}".lower() if is_named else "",
        title=title[:MAX_IMAGE_TITLE] if title.isprintable() else "",
    )


def with_metadata(submitted: SubmittedImage, found: LxdMetadata) -> SubmittedImage:
    """Returns `submitted` with fields that the user left empty filled in from `found`.

    Raises InvalidRequest if the user gave another architecture than the metadata.
    """
    given, _ = split_architecture(submitted.architecture)
    if given and found.architecture and given != found.architecture:
        raise InvalidRequest.of({"architecture": [f"The metadata is of an image for {found.architecture}."]})
    return evolve(
        submitted,
        architecture=submitted.architecture or found.architecture,
        name=submitted.name or found.name,
        title=submitted.title or found.title,
    )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    properties: dict[str, str] = {}
    section = ""
    indent = ""  # of the properties; a line with another indent is no property
    for line in text.splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            continue
        space, key, value = match[1], match[2], _scalar(match[3] or "")
        if not space:
            section, indent = key, ""
            found[key] = value
        elif section == _PROPERTIES:
            indent = indent or space
            if space == indent:
                properties[key] = value
    return {**found, _PROPERTIES: properties}


def _scalar(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text.partition(" #")[0].rstrip()
