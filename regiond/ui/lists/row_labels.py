"""Labels of the cells of long lists, which a narrow screen shows above each value."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.ui.texts import constant, text

_LABELS: Mapping[str, str] = {
    "addresses": constant("Addresses"),
    "cores": constant("Cores"),
    "cpu": constant("CPU cores"),
    "duration": constant("Duration"),
    "host": constant("Host"),
    "memory": constant("RAM, storage"),
    "owner": constant("Owner"),
    "pool": constant("Pool, tags"),
    "ram": constant("RAM"),
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
    """Returns the labels by column in the reader's language: once for a page, since a list has 200 rows."""
    return {column: text(label) for column, label in _LABELS.items()}
