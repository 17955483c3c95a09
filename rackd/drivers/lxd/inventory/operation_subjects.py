"""Tells what a running operation of LXD is about. Pure.

Older LXD names it in `resources`, LXD 6.8 and newer only in the metadata. LXD 5.0 gives a volume without its storage
pool: `/1.0/storage_volumes/NAME`, newer releases `/1.0/storage-pools/POOL/volumes/custom/NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from rackd.drivers.lxd.inventory.ownership import Json

_CONSOLE = "Showing console"
_ENTITY_URLS = ("entity_url", "original_entity_url")  # of the operation's metadata; the latter before a rename


def instances_of(operation: Json) -> set[str]:
    """Returns the names of the instances that an operation is about."""
    return {parts[1] for parts in _paths(operation, "instances") if parts[:1] == ["instances"] and parts[1:]}


def is_console(operation: Json) -> bool:
    """Returns whether it is a console or screen that somebody has open: it ends with that, and changes nothing."""
    return operation.get("class") == "websocket" and operation.get("description") == _CONSOLE


def is_about_volume(operation: Json, pool_id: str, name: str) -> bool:
    """Returns whether an operation is about the custom volume, as far as it names the storage pool."""
    return any(
        parts[:2] in (["storage_volumes", name], ["storage-volumes", name])
        or (parts[:2] == ["storage-pools", pool_id] and parts[2:5] == ["volumes", "custom", name])
        for parts in _paths(operation, "storage_volumes")
    )


def _paths(operation: Json, kind: str) -> Iterator[list[str]]:
    """Yields the URLs as their parts after `/1.0/`."""
    metadata = operation.get("metadata") or {}
    named = (operation.get("resources") or {}).get(kind) or ()
    for url in (*named, *(metadata[key] for key in _ENTITY_URLS if key in metadata)):
        parts = [unquote(part) for part in urlsplit(str(url)).path.split("/")]
        if parts[1:2] == ["1.0"]:
            yield parts[2:]
