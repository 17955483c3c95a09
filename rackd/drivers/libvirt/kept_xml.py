"""Parses a definition that is written again, so that what others wrote in it stays as it is, byte for byte.

ElementTree renames the prefixes of namespaces, moves their declarations, and quotes and escapes in its own way. So the
metadata of others, and elements of a namespace beside them such as `<qemu:commandline>`, become placeholders that hold
their text, and `restored` puts the text back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import unescape

from rackd.drivers.libvirt.xml import Element, bounded

_KEPT = "kept-as-it-is"
_PLACEHOLDER = re.compile(f"<{_KEPT}>(.*?)</{_KEPT}>", re.DOTALL)
_METADATA = ["domain", "metadata"]


def parse_definition(text: str, what: str, own_namespace: str) -> Element:
    """Returns the tree, in which names have no namespaces except those of `own_namespace`.

    Raises DriverFailed, naming `what` the text describes, if it is not XML, or has more elements than libvirt's.
    """
    return bounded(text, what, _Reader(own_namespace).read)


def restored(xml: str) -> str:
    """Returns the text of a tree of `parse_definition` with what was kept."""
    return _PLACEHOLDER.sub(lambda found: unescape(found.group(1)), xml)


class _Reader:
    def __init__(self, own_namespace: str) -> None:
        self._own = own_namespace
        self._builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
        self._path: list[str] = []
        self._prefixes: list[frozenset[str]] = [frozenset()]  # those of our namespace, for each open element
        self._text = b""
        self._kept_from: int | None = None
        self._kept_depth = 0

    def read(self, text: str) -> Element:
        self._text = text.encode()
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.ordered_attributes = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._data
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.Parse(self._text, True)
        return self._builder.close()

    def _start(self, name: str, attributes: Sequence[str]) -> None:
        self._close_kept()
        if self._kept_from is not None:
            self._kept_depth += 1
            return
        pairs = dict(zip(attributes[::2], attributes[1::2], strict=True))
        ours = self._prefixes_in(pairs)
        prefix, _, local = name.rpartition(":")
        is_ours = prefix in ours
        if not is_ours and (self._path == _METADATA or (prefix and len(self._path) == 1)):
            self._kept_from, self._kept_depth = self._parser.CurrentByteIndex, 1
            return
        self._path.append(name)
        self._prefixes.append(ours)
        others = {key: value for key, value in pairs.items() if not (_declares(key) and value == self._own)}
        self._builder.start(f"{{{self._own}}}{local}" if is_ours else name, others)

    def _end(self, name: str) -> None:
        self._close_kept()
        if self._kept_from is not None:
            self._kept_depth -= 1
            return
        self._path.pop()
        ours = name.rpartition(":")[0] in self._prefixes.pop()
        self._builder.end(f"{{{self._own}}}{name.rpartition(':')[2]}" if ours else name)

    def _data(self, text: str) -> None:
        self._close_kept()
        if self._kept_from is None:
            self._builder.data(text)

    def _comment(self, text: str) -> None:
        self._close_kept()
        if self._kept_from is None:
            self._builder.comment(text)

    def _instruction(self, target: str, text: str) -> None:
        self._close_kept()
        if self._kept_from is None:
            self._builder.pi(target, text)

    def _close_kept(self) -> None:
        """Call it first at each event: the kept element has ended where the next event begins."""
        if self._kept_from is not None and self._kept_depth == 0:
            kept = self._text[self._kept_from : self._parser.CurrentByteIndex].decode()
            self._builder.start(_KEPT, {})
            self._builder.data(kept)
            self._builder.end(_KEPT)
            self._kept_from = None

    def _prefixes_in(self, attributes: dict[str, str]) -> frozenset[str]:
        """Returns the prefixes of our namespace within an element with these attributes; "" for the default."""
        declared = {key.partition(":")[2]: value for key, value in attributes.items() if _declares(key)}
        outer = (one for one in self._prefixes[-1] if one not in declared)
        return frozenset((*outer, *(prefix for prefix, uri in declared.items() if uri == self._own)))


def _declares(attribute: str) -> bool:
    return attribute == "xmlns" or attribute.startswith("xmlns:")
