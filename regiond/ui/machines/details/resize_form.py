"""The form that resizes a VM: its fields, and what they ask of the API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest
from regiond.ledger.model import DiscreteResources
from regiond.machines.values.model import MachineView
from regiond.ui.forms.form_field import TICK, FormField
from regiond.ui.machines.compose.compose_request import parse_cores
from regiond.ui.texts import text
from regiond.ui.views import formats

LEAST_MIB = 1024
CORES, MEMORY, PINS, IDS, HUGE_PAGES = "cores", "memory", "pins", "pinned_cores", "hugepages_backed"
ANY, PINNED, CHOSEN = "any", "pinned", "chosen"


def values_of(machine: MachineView, bound: DiscreteResources) -> dict[str, str]:
    """Returns what the VM has after its next start."""
    size = machine.pending_size
    return {
        CORES: str(size.cores if size else machine.cores),
        MEMORY: str(size.memory_mib if size else machine.memory_mib),
        PINS: PINNED if bound.pinned_core_ids else ANY,
        IDS: ids_text(bound.pinned_core_ids),
        HUGE_PAGES: "true" if bound.huge_pages else "",
    }


def ids_text(core_ids: tuple[int, ...]) -> str:
    return formats.ranges(core_ids).replace("–", "-").replace(" ", "")


def form_fields() -> list[FormField]:
    pins = (
        (ANY, text("any of the host")),
        (PINNED, text("pinned: chosen on its NUMA node")),
        (CHOSEN, text("pinned to those below")),
    )
    return [
        FormField(name=CORES, label=text("Cores"), kind="number", minimum=1),
        FormField(name=MEMORY, label=text("RAM in MiB"), kind="number", minimum=LEAST_MIB),
        FormField(name=PINS, label=text("Its cores run on"), kind="choice", options=pins),
        FormField(
            name=IDS, label=text("Cores of the host"), optional=True,
            help=text("Ids such as 4-7,12, for “pinned to those below”"),
        ),
        FormField(name=HUGE_PAGES, label=text("RAM in huge pages"), kind=TICK),
    ]  # fmt: skip


def api_fields(values: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, Any]:
    """Returns the fields of the API for what was changed. Raises InvalidRequest for ids that are none."""
    found: dict[str, Any] = {name: changes[name] for name in (CORES, MEMORY) if name in changes}
    if values[PINS] == CHOSEN or (IDS in changes and PINS not in changes):
        found = {name: one for name, one in found.items() if name != CORES}
        found[IDS] = [str(one) for one in _ids(values[IDS])]
    elif changes.get(PINS) == PINNED:
        found = {name: one for name, one in found.items() if name != CORES}
        found["pin_cores"] = values[CORES]
    elif changes.get(PINS) == ANY:
        found["pin_cores"] = "0"
    if HUGE_PAGES in changes:
        found[HUGE_PAGES] = changes[HUGE_PAGES] or "false"
    return found


def _ids(typed: str) -> list[int]:
    try:
        return parse_cores(typed)
    except InvalidRequest as error:
        raise InvalidRequest.of({IDS: [text("Write ids of cores, such as 1,2,4-12.")]}) from error


def about_form(problems: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Returns the problems of the API's fields by those of the form."""
    return {PINS if name == "pin_cores" else name: texts for name, texts in problems.items()}
