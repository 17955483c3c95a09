"""Finds all that a domain's XML refers to as a file, device or volume, whatever it is there for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import PurePosixPath

from common.volume_names import with_kept_logs
from rackd.drivers.libvirt.xml import Element

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
