"""Parses libvirt's XML and reads texts, attributes, sizes and PCI addresses from it."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET
from xml.parsers import expat

from common.errors import DriverFailed

Element = ET.Element


# The capabilities of a host with hundreds of cores have some thousand. More would keep Python's lock for too long.
MAX_MARKS = 50_000
MAX_DEPTH = 100  # others walk through elements by recursion


def parse(text: str, what: str) -> Element:
    """Raises DriverFailed, naming `what` the text describes, if it is not XML, or has more elements than libvirt's."""
    return bounded(text, what, ET.fromstring)  # expat itself bounds entity expansion since 2.4.1; no network is used


def bounded(text: str, what: str, read: Callable[[str], Element]) -> Element:
    """Returns what `read` makes of the text. Raises as `parse`."""
    marks = text.count("<")
    if marks > MAX_MARKS:
        raise DriverFailed(f"libvirt's XML of {what} has {marks} tags; the most are {MAX_MARKS}.")
    try:
        found = read(text)
    except (expat.ExpatError, ET.ParseError) as error:
        raise DriverFailed(f"libvirt's XML of {what} is invalid: {error}") from error
    level = [found]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in one]
        if not level:
            return found
    raise DriverFailed(f"libvirt's XML of {what} is nested more than {MAX_DEPTH} levels deep.")


def text_at(tree: Element, path: str, default: str = "") -> str:
    return (tree.findtext(path) or default).strip()


def attribute(tree: Element, path: str, name: str, default: str = "") -> str:
    found = tree.find(path)
    return default if found is None else found.get(name, default)


_SCALE = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "kb": 1000,
    "k": 1024,
    "kib": 1024,
    "mb": 1000**2,
    "m": 1024**2,
    "mib": 1024**2,
    "gb": 1000**3,
    "g": 1024**3,
    "gib": 1024**3,
    "tb": 1000**4,
    "t": 1024**4,
    "tib": 1024**4,
}


def bytes_at(tree: Element, path: str, *, unit: str) -> int | None:
    """Returns a scaled integer element in bytes, or None if it is absent. `unit` applies if the element names none."""
    found = tree.find(path)
    if found is None or not (found.text or "").strip().isdigit():
        return None
    return int((found.text or "").strip()) * _SCALE.get(found.get("unit", unit).lower(), 1)


def pci_address(element: Element) -> str | None:
    """Returns `0000:3b:00.0` for an `<address>` element; None if it is not a PCI address."""
    try:
        domain, bus, slot, function = (int(element.get(key, ""), 0) for key in ("domain", "bus", "slot", "function"))
    except ValueError:
        return None
    return format_pci_address(domain, bus, slot, function)


def format_pci_address(domain: int, bus: int, slot: int, function: int) -> str:
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
