"""The declaration of an image before its content arrives, and the checks of its fields. Pure."""

from __future__ import annotations

import re

from attrs import frozen

from common.errors import InvalidRequest, NameTaken
from common.units import file_size
from regiond.images.download_rules import url_problem
from regiond.images.model import (
    ARCHITECTURES,
    MAX_IMAGE_NAME,
    Image,
    SubmittedImage,
    full_name,
    split_architecture,
)
from regiond.images.packing import FILE_TYPES, ROOT_FILE_SYSTEMS
from regiond.requests.validation_messages import no_choice, shown

_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})?", re.ASCII)
_SUBARCH = re.compile(_PART, re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@frozen(kw_only=True)
class Declaration:
    """An image that is about to be uploaded, or downloaded from `url`. The size of a download may not be known: 0.

    `sha256` is empty if the user of an upload does not state it.
    `filetype` is empty if the user leaves it to the content.
    """

    name: str  # OSYSTEM/SERIES
    title: str
    architecture: str
    subarch: str
    filetype: str
    sha256: str
    size_bytes: int
    url: str | None = None


def declared(submitted: SubmittedImage, *, largest_bytes: int) -> Declaration:
    """Returns the declaration that the fields make. Raises InvalidRequest with the problems of all fields."""
    is_hashless = not submitted.sha256 and not submitted.url
    is_sizeless = submitted.size_bytes is None and bool(submitted.url)
    found = {
        "name": name_problem(submitted.name),
        "architecture": _architecture_problem(submitted.architecture),
        "filetype": _filetype_problem(submitted.filetype),
        "sha256": None if is_hashless else _sha256_problem(submitted.sha256.lower()),
        "size": None if is_sizeless else _size_problem(submitted.size_bytes, largest_bytes),
        "url": url_problem(submitted.url) if submitted.url else None,
    }
    problems = {name: [problem] for name, problem in found.items() if problem is not None}
    if problems:
        raise InvalidRequest.of(problems)
    architecture, subarch = split_architecture(submitted.architecture)
    return Declaration(
        name=full_name(submitted.name),
        title=submitted.title,
        architecture=architecture,
        subarch=subarch,
        filetype=submitted.filetype,
        sha256=submitted.sha256.lower(),
        size_bytes=submitted.size_bytes or 0,
        url=submitted.url or None,
    )


def name_taken(existing: Image) -> NameTaken:
    """Returns the error for an image whose name and architecture have an entry with other content."""
    content = f"SHA-256 {existing.sha256 or 'not known yet'}"
    if existing.host_id is not None:
        content = f"on the VM host {existing.host_name}, fingerprint {existing.sha256[:12]}"
    return NameTaken(
        f"There is an image {existing.name} for {existing.architecture} with other content ({content}). Delete it "
        "first, or use another name."
    )


def name_problem(name: str) -> str | None:
    if len(name) <= MAX_IMAGE_NAME and _NAME.fullmatch(name):
        return None
    return (
        f"{shown(name)} is no name of an image: use OSYSTEM/SERIES such as ubuntu/noble, or a name of your own, of "
        f"letters, digits and . _ + -, at most {MAX_IMAGE_NAME} characters."
    )


def _architecture_problem(text: str) -> str | None:
    architecture, subarch = split_architecture(text)
    if architecture in ARCHITECTURES and _SUBARCH.fullmatch(subarch):
        return None
    return no_choice(text, ARCHITECTURES)


def _filetype_problem(filetype: str) -> str | None:
    if not filetype or filetype in FILE_TYPES:
        return None
    if filetype in ROOT_FILE_SYSTEMS:
        return (
            f"Images of the type {filetype} are root file systems, which VMs cannot boot from. Upload the image of a "
            f"disk: {', '.join(FILE_TYPES)}."
        )
    return no_choice(filetype, FILE_TYPES)


def _sha256_problem(sha256: str) -> str | None:
    if _SHA256.fullmatch(sha256):
        return None
    if not sha256:
        return "Give the SHA-256 of the file: without it, a download cannot be checked."
    return f"{shown(sha256)} is no SHA-256: 64 hexadecimal digits."


def _size_problem(size_bytes: int | None, largest_bytes: int) -> str | None:
    if size_bytes is None:
        return "Give the size of the file in bytes, or its content."
    if not 0 < size_bytes <= largest_bytes:
        return (
            f"An image has 1 byte to {file_size(largest_bytes)} (the region's setting max_image_gib), not "
            f"{file_size(size_bytes)}."
        )
    return None
