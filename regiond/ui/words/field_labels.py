"""The labels of a form's fields, by which the summary of its problems names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from regiond.ui.texts import constant, text

_MESSAGE = r"_\('([^']+)'\)"
_MACRO = re.compile(
    rf'\b(?:fields|own)\.(?:text|area|choice|labelled_choice|image|tick)\("([\w-]+)", (?:"([^"]+)"|{_MESSAGE})'
)
_LABEL = re.compile(rf'<label for="([\w-]+)"[^>]*>(?:([^<{{]+)|\{{\{{ {_MESSAGE} \}}\}})')
_LEGEND = re.compile(rf'<fieldset[^>]* id="([\w-]+)"[^>]*><legend>(?:([^<{{]+)|\{{\{{ {_MESSAGE} \}}\}})')


class Labelled(Protocol):
    """A field of a form."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...


def labels_of(template: str) -> dict[str, str]:
    """Returns the labels in the source of a template, by the names of their fields; they are translated when shown."""
    return {
        name: constant((literal or message).strip())
        for found in (_LEGEND, _LABEL, _MACRO)
        for name, literal, message in found.findall(template)
    }


def labels_of_fields(fields: Iterable[Labelled]) -> Mapping[str, str]:
    return {one.name: one.label for one in fields}


_ROW_LABELS: Mapping[str, str] = {
    "addresses": constant("Addresses"),
    "cores": constant("Cores"),
    "cpu": constant("CPU cores"),
    "cpu_used": constant("CPU used"),
    "disk_used": constant("Disk"),
    "duration": constant("Duration"),
    "host": constant("Host"),
    "memory": constant("RAM, storage"),
    "network_used": constant("Network"),
    "owner": constant("Owner"),
    "pool": constant("Pool, tags"),
    "ram": constant("RAM"),
    "ram_used": constant("RAM used"),
    "started": constant("Started"),
    "state": constant("State"),
    "storage": constant("Storage"),
    "tags": constant("Tags"),
    "task": constant("Last task"),
    "type": constant("Type"),
    "vms": constant("VMs"),
    "who": constant("Who"),
    "zone": constant("Zone, pool"),
}


def row_labels() -> dict[str, str]:
    """Returns the labels of cells of long lists, which a narrow screen shows above each value, by column and in the
    reader's language. A page has them once, since a list has 200 rows.
    """
    return {column: text(label) for column, label in _ROW_LABELS.items()}
