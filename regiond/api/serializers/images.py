"""Entries of `boot-resources/`: images, and one for each architecture of the hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from regiond.api.declaration.serializer import (
    BOOL,
    INT,
    NUMBER,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    encoded,
    extended,
    fields_of,
    item,
    key,
    mapping,
    nullable,
    optional_key,
    serializer,
    uri_by_id,
)
from regiond.api.urls import uri
from regiond.images.model import GENERIC, ArchitectureEntry, Image, ImageCopyView, ImageState

V = TypeVar("V")
_VM_HOST: Serializer[tuple[int, str]] = serializer(
    "ImageHost", key("id", INT, lambda host: host[0]), key("name", STR, lambda host: host[1])
)
_COPY: Serializer[ImageCopyView] = serializer(
    "ImageCopy",
    key("vm_host", _VM_HOST, lambda copy: (copy.host_id, copy.host_name)),
    *fields_of(ImageCopyView, "pool size=size_bytes state"),
)
Entry = Image | ArchitectureEntry

SYNCED, UPLOADED = "Synced", "Uploaded"  # MAAS's words for images that it downloads, and for those of users
FILE_NAME = "root-dd"  # MAAS's name for the image of a whole disk
_DECLARED_LATER = "ddraw"


def _of_image(get: Callable[[Image], V]) -> Callable[[Entry], V | None]:
    return lambda entry: get(entry) if isinstance(entry, Image) else None


def type_of(entry: Entry) -> str:
    return UPLOADED if isinstance(entry, Image) else SYNCED


def _name(entry: Entry) -> str:
    return entry.name if isinstance(entry, Image) else f"{GENERIC}/{entry.architecture}"


def _title(entry: Entry) -> str:
    if isinstance(entry, Image):
        return entry.title or entry.name
    return f"VM hosts have the architecture {entry.architecture}"


def _received(image: Image) -> int:
    return image.declared_bytes if image.is_ready else image.received_bytes


def _is_stored(image: Image) -> bool:
    return image.is_ready and image.host_id is None


def _vm_host(image: Image) -> tuple[int, str] | None:
    return None if image.host_id is None else (image.host_id, image.host_name or "")


def _sets(entry: Entry) -> Mapping[str, Any]:
    """Returns one set with one file, dated by the declaration of the image; an unfinished upload has an address."""
    if not isinstance(entry, Image):
        return {}
    complete = entry.state in {ImageState.CHECKING, ImageState.READY}
    file: dict[str, Any] = {
        "filename": FILE_NAME,
        "filetype": entry.filetype or _DECLARED_LATER,
        "sha256": entry.declared_sha256,
        "size": entry.declared_bytes,
        "complete": complete,
    }
    if not complete and entry.size_bytes:
        file["progress"] = entry.received_bytes / entry.size_bytes
    if not complete and entry.url is None:
        file["upload_uri"] = uri("boot-resources", entry.id, "upload", entry.id)
    version = entry.created_at.strftime("%Y%m%d")
    one = {"version": version, "label": "uploaded", "size": entry.declared_bytes, "complete": complete}
    return {version: {**one, "files": {FILE_NAME: file}}}


_FILE: Serializer[Mapping[str, Any]] = serializer(
    "BootResourceFile",
    item("filename", STR),
    item("filetype", STR),
    item("sha256", STR),
    item("size", INT),
    item("complete", BOOL),
    optional_key("progress", NUMBER, lambda file: file.get("progress")),
    optional_key("upload_uri", STR, lambda file: file.get("upload_uri")),
)
_SET: Serializer[Mapping[str, Any]] = serializer(
    "BootResourceSet",
    item("version", STR),
    item("label", STR),
    item("size", INT),
    item("complete", BOOL),
    item("files", mapping(_FILE)),
)

LISTED_JSON: Serializer[Entry] = serializer(
    "ListedBootResource",
    key("id", INT, lambda entry: entry.id),
    key("type", STR, type_of),
    key("name", STR, _name),
    key(
        "architecture",
        STR,
        lambda entry: f"{entry.architecture}/{entry.subarch if isinstance(entry, Image) else GENERIC}",
    ),
    key("subarches", STR, lambda entry: entry.subarch if isinstance(entry, Image) else GENERIC),
    key("title", STR, _title),
    key("state", nullable(STR), _of_image(lambda image: image.state.value)),
    key("error", nullable(STR), _of_image(lambda image: image.error)),
    key("filetype", nullable(STR), _of_image(lambda image: image.filetype)),
    key("format", nullable(STR), _of_image(lambda image: image.format)),
    key("packing", nullable(STR), _of_image(lambda image: image.packing)),
    key("sha256", nullable(STR), _of_image(lambda image: image.declared_sha256 or None)),
    key("size", nullable(INT), _of_image(lambda image: image.declared_bytes or None)),
    key("url", nullable(STR), _of_image(lambda image: image.url)),
    key("vm_host", nullable(_VM_HOST), _of_image(_vm_host)),
    key("alias", nullable(STR), _of_image(lambda image: image.alias)),
    key("received", nullable(INT), _of_image(_received)),
    key("content_sha256", nullable(STR), _of_image(lambda image: image.sha256 if _is_stored(image) else None)),
    key("content_size", nullable(INT), _of_image(lambda image: image.size_bytes if _is_stored(image) else None)),
    key("virtual_size", nullable(INT), _of_image(lambda image: image.virtual_size_bytes)),
    key("created", nullable(TIMESTAMP), _of_image(lambda image: image.created_at)),
    key("updated", nullable(TIMESTAMP), _of_image(lambda image: image.updated_at)),
    key("expires", nullable(TIMESTAMP), _of_image(lambda image: image.expires_at)),
    key("copies", array(_COPY), lambda entry: entry.copies if isinstance(entry, Image) else ()),
    uri_by_id("boot-resources"),
)
ENTRY_JSON: Serializer[Entry] = extended(
    "BootResource", LISTED_JSON, lambda entry: entry, key("sets", encoded(mapping(_SET)), _sets)
)
