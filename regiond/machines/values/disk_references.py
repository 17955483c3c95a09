"""Finds the disk of a machine that a request names, for the API, bulk operations and RPC clients alike."""

from __future__ import annotations

from collections.abc import Iterable

from common.disks.device_names import block_device_name
from common.errors import InvalidRequest, NotFound
from regiond.machines.values.disks import DiskView
from regiond.requests.identifiers import as_id, split_reference

_MAX_SHOWN = 64  # characters


def named_disk(hostname: str, disks: Iterable[DiskView], text: str) -> DiskView:
    """Returns the disk of the machine `hostname` with this id, else the one with this name.

    A disk has two names: that of its place (`sda`, `sdb` …), and its label, or without one `root`, `disk1` … `id:7` is
    always an id, `name:7` always a name. Raises NotFound; InvalidRequest if the name of one disk is the label of
    another one, since a guess could delete the wrong one.
    """
    known = tuple(disks)
    id_, name = split_reference(text)
    number = None if id_ is None else as_id(id_)
    by_id = [one for one in known if one.id == number]
    found = by_id or [one for one in known if name in (block_device_name("sd", one.index), one.title)]
    if not found:
        there = ", ".join(one.title for one in known) or "none"
        raise NotFound(f"{hostname} has no disk {text[:_MAX_SHOWN]}; it has {there}.")
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.title}, {block_device_name('sd', one.index)})" for one in found)
        reason = f"{name} is the name of one disk of {hostname} and the label of another one: use the id: {listed}."
        raise InvalidRequest.of({"disk": [reason]})
    return found[0]
