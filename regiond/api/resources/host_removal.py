"""`DELETE` of VM hosts and VM clusters: the fields of both, and the dry run."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.api.endpoint import Call
from regiond.api.field_types import Boolean
from regiond.api.fields import Field, Problems, Values
from regiond.api.replies import Reply, json_reply
from regiond.api.serializers.host_removal import HOST_REMOVAL_PLAN_JSON
from regiond.hosts.model import HostRemoval

DOC = (
    "Adopted machines and foreign VMs stay on the host, whatever happens to the machines that Innkeeper created. The "
    "result of the operation lists what was deleted and what was kept."
)
FIELDS = (
    Field(
        name="decompose",
        type=Boolean(),
        default=False,
        doc="Also delete the virtual machines that Innkeeper created there (default false: they continue to run).",
    ),
    Field(
        name="destroy_adopted",
        type=Boolean(),
        default=False,
        doc="With decompose: also delete the adopted virtual machines and their disks (default false).",
    ),
    Field(
        name="dry_run",
        type=Boolean(),
        default=False,
        doc="Delete nothing; answer 200 with the VMs and volumes that would be deleted and kept (default false).",
    ),
)


def removal_of(values: Values) -> HostRemoval:
    return HostRemoval(decompose=values["decompose"], destroy_adopted=values["destroy_adopted"])


def problems(call: Call) -> Problems:
    """Adopted machines cannot be deleted alone."""
    if call.values["destroy_adopted"] and not call.values["decompose"]:
        return {"destroy_adopted": ["Needs decompose=true."]}
    return {}


async def plan(call: Call, name: str, host_ids: Sequence[int]) -> Reply:
    """The answer of a dry run."""
    found = await call.services.machines.removal_plan(call.caller, name, host_ids, removal_of(call.values))
    return json_reply(HOST_REMOVAL_PLAN_JSON.encode(found))
