"""Reads simplestreams metadata, as cloud-images.ubuntu.com and LXD's image servers publish it. Pure.

An index names files of products; a product, such as Ubuntu 24.04 for amd64, has versions, and each version items: files
with their type, SHA-256 and size. The metadata are trusted only for the server's own files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from common.bodies.bounded_json import TooMuchJson, loads
from common.errors import InvalidRequest
from regiond.images.model import MAX_IMAGE_TITLE
from regiond.requests.validation_messages import no_object, shown

INDEX_PATH = "streams/v1/index.json"
DATATYPE = "image-downloads"
# Types of items that are the disk of a VM, in order of preference: Ubuntu's with the usual kernel, then LXD's.
DISK_TYPES = ("disk1.img", "disk-kvm.img")
MAX_PRODUCT_FILES = 8
MAX_VALUES = 2_000_000  # of a file; the largest list of Ubuntu's has a sixth of that
MAX_CHOICES = 30
_CLOUD = "cloud"  # LXD's variant with cloud-init
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9._+-]{1,60}", re.ASCII)


class BadStream(Exception):
    """The server's metadata cannot be used; the message says what was found."""


@frozen(kw_only=True)
class StreamDisk:
    """A disk that a server has. `path` is relative to the server's address."""

    name: str  # OSYSTEM/SERIES
    title: str
    version: str
    path: str
    sha256: str
    size_bytes: int | None


@frozen(kw_only=True)
class _Product:
    key: str
    os: str
    release: str
    variant: str
    aliases: frozenset[str]
    title: str
    versions: Mapping[str, StreamDisk]  # those with a disk

    @property
    def names(self) -> frozenset[str]:
        return self.aliases | {self.key, self.release, f"{self.os}/{self.release}"}


def product_files(index: bytes) -> tuple[str, ...]:
    """Returns the paths of the files of products, relative to the server's address. Raises BadStream."""
    entries = _mapping(_parsed(index, "index").get("index"))
    paths = [
        entry["path"]
        for entry in entries.values()
        if isinstance(entry, Mapping) and entry.get("datatype") == DATATYPE and isinstance(entry.get("path"), str)
    ]
    if not paths:
        raise BadStream("The server's index names no images.")
    if len(paths) > MAX_PRODUCT_FILES:
        raise BadStream(f"The server's index names {len(paths)} lists of images; the most are {MAX_PRODUCT_FILES}.")
    return tuple(paths)


def choose_disk(files: Iterable[bytes], image: str, architecture: str, version: str = "") -> StreamDisk:
    """Returns the disk of the named product: its newest version, or the given one.

    `image` is an alias such as `noble` or `debian/12`, a release or a product's name. Of LXD's variants of an image,
    the one with cloud-init is taken. Raises InvalidRequest for the fields `image` and `version`; BadStream.
    """
    products = [one for file in files for one in _products(file, architecture)]
    wanted = image.strip().lower()
    found = [one for one in products if wanted in one.names or f"{wanted}/{_CLOUD}" in one.aliases]
    if not found:
        choices = sorted({min(one.aliases, key=lambda name: (-len(name), name), default=one.key) for one in products})
        shortened = choices[:MAX_CHOICES]
        raise InvalidRequest.of(
            {"image": [f"{no_object('image', image, shortened)} The server has disks of VMs for {architecture} of "
                       f"{len(choices)} images."]}
        )  # fmt: skip
    product = max(found, key=lambda one: (one.variant == _CLOUD, wanted in one.names, max(one.versions), one.key))
    if version and version not in product.versions:
        newest = sorted(product.versions, reverse=True)[:MAX_CHOICES]
        raise InvalidRequest.of({"version": [no_object("version of this image", version, newest)]})
    return product.versions[version or max(product.versions)]


def _products(file: bytes, architecture: str) -> Iterable[_Product]:
    """Returns the products for the architecture that have the disk of a VM."""
    for key, product in _mapping(_parsed(file, "list of images").get("products")).items():
        if not isinstance(product, Mapping) or product.get("arch") != architecture:
            continue
        os_name, release = _text(product, "os").lower(), _text(product, "release").lower()
        if not _WORD.fullmatch(os_name) or not _WORD.fullmatch(release):
            continue
        title = _title(product)
        found: dict[str, StreamDisk] = {}
        for version, content in _mapping(product.get("versions")).items():
            disk = _disk(content, f"{os_name}/{release}", title, str(version))
            if disk is not None:
                found[str(version)] = disk
        if found:
            aliases = (one.strip().lower() for one in _text(product, "aliases").split(","))
            yield _Product(
                key=str(key).lower(),
                os=os_name,
                release=release,
                variant=_text(product, "variant"),
                aliases=frozenset(one for one in aliases if one),
                title=title,
                versions=found,
            )


def _disk(content: object, name: str, title: str, version: str) -> StreamDisk | None:
    items = [one for one in _mapping(_mapping(content).get("items")).values() if isinstance(one, Mapping)]
    for kind in DISK_TYPES:
        for item in items:
            path, sha256 = item.get("path"), item.get("sha256")
            if item.get("ftype") != kind or not isinstance(path, str) or not isinstance(sha256, str):
                continue
            if not _SHA256.fullmatch(sha256):
                raise BadStream(f"The server states {shown(sha256)} as a SHA-256 of {shown(name)}.")
            size = item.get("size")
            return StreamDisk(
                name=name,
                title=title,
                version=version,
                path=path,
                sha256=sha256,
                size_bytes=size if isinstance(size, int) and 0 < size < 2**63 else None,
            )
    return None


def _title(product: Mapping[str, Any]) -> str:
    """Returns the title of a product, such as `Ubuntu 24.04 LTS` or `Debian bookworm`."""
    release = _text(product, "release_title") or _text(product, "release")
    os_name = _text(product, "os")
    text = f"{os_name[:1].upper()}{os_name[1:]} {release}"
    return text[:MAX_IMAGE_TITLE] if text.isprintable() else ""


def _text(product: Mapping[str, Any], key: str) -> str:
    found = product.get(key)
    return found if isinstance(found, str) else ""


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _parsed(data: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = loads(data, max_values=MAX_VALUES, in_thread=True)
    except TooMuchJson as error:
        raise BadStream(f"The server's {what} has {error}.") from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadStream(f"The server's {what} is no JSON object.")
    return found
