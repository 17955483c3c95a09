"""Finds all that a domain's XML refers to as a file, device or volume, whatever it is there for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from itertools import pairwise
from pathlib import PurePosixPath

from common.disks.volume_names import with_kept_logs
from rackd.drivers.libvirt.definitions.disk_xml import path_of
from rackd.drivers.libvirt.xml import Element, attribute

_QUOTED = re.compile(r"""=\s*(?:"|')([^"']*)""")  # the values of attributes
_IN_ARGUMENT = re.compile(r"/[^,=\s]+")  # of QEMU, such as `file=/a,format=raw`
_NOT_OF_STORAGE = ("/dev/pts/", "/dev/urandom", "/dev/random", "/dev/null", "/usr/", "/sys/", "/proc/")


def references(tree: Element) -> frozenset[str]:
    """Returns paths, and names of volumes where a disk names its storage pool.

    They are of disks, drives, their backing images and the targets of their block jobs, firmware variables, kernels,
    logs of serial ports with their older parts, and arguments of QEMU: a volume is as lost to a guest that boots from
    it as to one that has it in a drive.
    """
    found: set[str] = set()
    for part in tree:
        if part.tag != "metadata":  # what others write there is no reference
            found.update(_in(part))
    logs = [one.get("file", "") for one in tree.iterfind("devices/*/log")]
    return frozenset(found.union(*(with_kept_logs(path) for path in logs if path)))


def references_in_text(xml: str) -> frozenset[str]:
    """Returns the same of XML that cannot be parsed, and more: every value in it may be a reference."""
    found = {unescape(value) for value in _QUOTED.findall(xml) if value}
    return frozenset(found.union(*(with_kept_logs(one) for one in found)))


def layers(domain: Element) -> tuple[tuple[str, str], ...]:
    """Returns the path of each image of a disk that has another one below it, and the path of that."""
    below = []
    for disk in domain.iterfind("devices/disk"):
        images = [path_of(layer) for layer in (disk, *disk.iterfind(".//backingStore"))]
        below += [(upper, lower) for upper, lower in pairwise(images) if upper and lower]
    return tuple(below)


def image_below(name: str) -> str:
    """Returns the name of the image on which libvirt puts one of this name, for an external snapshot; "" if on none.

    The XML of a domain that is off does not always have it.
    """
    base = name.partition(".")[0]
    return base if base != name else ""


def layers_of_snapshot(snapshot: Element) -> tuple[tuple[str, str], ...]:
    """Returns the same of what an external snapshot has put on the disks, as its XML says."""
    before = {attribute(disk, "target", "dev"): path_of(disk) for disk in snapshot.iterfind("domain/devices/disk")}
    made = snapshot.iterfind("disks/disk[@snapshot='external']")
    pairs = ((path_of(disk), before.get(disk.get("name", ""), "")) for disk in made)
    return tuple((upper, lower) for upper, lower in pairs if upper and lower)


def names_of(found: Iterable[str]) -> frozenset[str]:
    """Returns the last parts of the paths, and the names."""
    return frozenset(filter(None, (PurePosixPath(one).name for one in found)))


def _in(part: Element) -> Iterator[str]:
    for element in part.iter():
        volume = element.get("volume")
        if volume and element.get("pool"):
            yield volume
        for text in (element.text or "", *element.attrib.values()):
            for path in _IN_ARGUMENT.findall(text) if "," in text or "=" in text else (text.strip(),):
                if path.startswith("/") and not path.startswith(_NOT_OF_STORAGE):
                    yield path
