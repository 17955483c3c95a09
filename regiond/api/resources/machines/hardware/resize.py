"""`machines/{system_id}/?op=resize`: changes the cores and memory of a machine."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call
from regiond.api.declaration.field_types import Boolean, Integer, IntegerList
from regiond.api.declaration.fields import Field, Format
from regiond.api.declaration.serializer import INT, Serializer, array, enum, fields_of, key, serializer
from regiond.api.resources.machines.hardware.hardware_changes import changing_hardware
from regiond.ledger.model import DiscreteResources, read_pages_key
from regiond.machines.values.resize import MAX_CORES, Amount, ResizePlan, SizeRequest, Takes

_AMOUNT: Serializer[Amount] = serializer(
    "ResizedAmount", *fields_of(Amount, "now wanted"), key("takes_effect", enum(Takes), lambda one: one.takes_effect)
)
_PAGES: Serializer[tuple[str, int]] = serializer(
    "ResizedPages",
    key("node", INT, lambda one: read_pages_key(one[0])[0]),
    key("page_size", INT, lambda one: read_pages_key(one[0])[1] * 1024),
    key("pages", INT, lambda one: one[1]),
)
_BOUND: Serializer[DiscreteResources] = serializer(
    "ResizedBinding",
    key("pinned_cores", array(INT), lambda bound: list(bound.pinned_core_ids)),
    key("huge_pages", array(_PAGES), lambda bound: sorted(bound.huge_pages.items())),
)
RESIZE_PLAN_JSON: Serializer[ResizePlan] = serializer(
    "ResizePlan",
    *fields_of(ResizePlan, "name cores memory=memory_mib effects", cores=_AMOUNT, memory=_AMOUNT),
    key("bound", _BOUND, lambda plan: plan.bound),
    key("bound_then", _BOUND, lambda plan: plan.bound_then),
)
PINNED_CORES = Field(
    "pinned_cores",
    IntegerList(maximum=65535),
    "Id of a host core to pin, used by this machine alone; may be repeated. These replace the cores that it has.",
    default=(),
    format=Format.INTEGERS,
)
SIZE_FIELDS = (
    Field(
        "cores",
        Integer(minimum=1, maximum=MAX_CORES),
        "Number of cores (default: as it is). Those of a machine with pinned cores are pinned, too.",
        example=4,
    ),
    Field(
        "memory",
        Integer(minimum=1024, unit="MiB"),
        "Memory in MiB, at least 1024 (default: as it is).",
        format=Format.MIB,
        example=8192,
    ),
    Field(
        "pin_cores",
        Integer(minimum=0, maximum=MAX_CORES),
        "Number of cores to pin on the NUMA node that the machine is on; 0: none (default: as many as before). "
        "Replaces cores.",
    ),
    Field("hugepages_backed", Boolean(), "Back all memory with huge pages of the host (default: as it is)."),
    Field(
        "hugepage_size",
        Integer(minimum=1, maximum=1024 * 1024),
        "Size of a huge page in MiB, such as 2 or 1024 (default: as it is, or the smallest that divides memory).",
        format=Format.MIB,
    ),
)


def size_request(call: Call) -> SizeRequest:
    """Returns the size that the request asks for; a bulk request names no cores of a host."""
    values = call.values
    return SizeRequest(
        cores=values["cores"],
        memory_mib=values["memory"],
        pinned_cores=tuple(values.get("pinned_cores") or ()) or None,
        pin_cores=values["pin_cores"],
        huge_pages=values["hugepages_backed"],
        huge_page_size_mib=values["hugepage_size"],
    )


RESIZE = changing_hardware(
    RESIZE_PLAN_JSON,
    "resize",
    size_request,
    title="Change the cores and memory of a machine",
    doc="A machine that is off gets the new size at once. Of one that runs, what its hypervisor cannot change now "
    "is pending: the machine shows it, claims it, and gets it when Innkeeper next starts it. Memory is never taken "
    "from a VM that runs. With the present size, what was pending is cancelled. Pinned cores, memory in huge pages "
    "and the size of a machine that has either change only while it is off; it stays on its NUMA nodes, unless "
    "`pinned_cores` names cores of another one.",
    fields=(*SIZE_FIELDS, PINNED_CORES),
    plan_doc="For a dry run: what would change, and when.",
    dry_run_doc="Change nothing; answer 200 with what would change now, and what at the next start (default false).",
)
OF_ONE = (RESIZE,)
