"""`DELETE` of VM hosts and VM clusters: the fields of both, and the dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from regiond.api.declaration.endpoint import Call, Result
from regiond.api.declaration.field_types import Boolean
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.served import filled
from regiond.api.replies import Reply, empty_reply, json_reply, with_warnings
from regiond.api.serializers.deletion import FORCED_REMOVAL_JSON, HOST_REMOVAL_PLAN_JSON
from regiond.db.pool import Db
from regiond.hosts.operation_intents import Confirm
from regiond.hosts.removal_model import HostRemoval
from regiond.operations.model import Operation

DOC = (
    "Adopted machines and foreign VMs stay on the host, whatever happens to the machines that Innkeeper created. The "
    "result of the operation lists what was deleted and what was kept. With force it lists the machines that are lost; "
    "their virtual machines, if the host ever returns, can be adopted."
)
FIELDS = (
    Field(
        "decompose",
        Boolean(),
        "Also delete the virtual machines that Innkeeper created there (default false: they continue to run).",
        default=False,
    ),
    Field(
        "destroy_adopted",
        Boolean(),
        "With decompose: also delete the adopted virtual machines and their disks (default false).",
        default=False,
    ),
    Field(
        "force",
        Boolean(),
        "Remove a dead host: nothing on it is touched, its machines' records end as lost (default false).",
        default=False,
    ),
    Field(
        "keep_trust",
        Boolean(),
        (
            "Leave Innkeeper's certificate on the trust list of an LXD server whose last host is removed, and keep the "
            "key pair: the next host at this address needs no token (default false: it is removed there)."
        ),
        default=False,
    ),
    Field(
        "dry_run",
        Boolean(),
        "Delete nothing; answer 200 with the VMs and volumes that would be deleted and kept (default false).",
        default=False,
    ),
)
DRY_RUN = (200, Result(doc="For a dry run: what would be deleted and kept.", type=HOST_REMOVAL_PLAN_JSON))
BY_FORCE = (200, Result(doc="After a removal by force: the machines that are lost or kept.", type=FORCED_REMOVAL_JSON))


removal_of = filled(HostRemoval)


def problems(call: Call) -> Problems:
    """Returns problems: adopted machines cannot be deleted alone, and no machine on a dead host."""
    if call.values["destroy_adopted"] and not call.values["decompose"]:
        return {"destroy_adopted": ["Needs decompose=true."]}
    if call.values["force"] and call.values["decompose"]:
        return {"force": ["Excludes decompose=true: on a host that does not answer no machine can be deleted."]}
    return {}


async def removed(operation: Operation) -> Reply:
    """Returns the answer to the removal of a host, like `all_removed`."""
    return all_removed(operation.host_name or "", (operation,))


def all_removed(name: str, operations: Sequence[Operation]) -> Reply:
    """Returns the answer to the removal of a host or cluster: 204, or 200 with the lost machines if it was by force.

    The header `Warning` names a certificate that stays on a server's trust list although nobody requested that.
    """
    forced = [operation.result for operation in operations if "lost" in operation.result]
    reply = empty_reply()
    if forced:
        texts = {fate: [text for result in forced for text in result[fate]] for fate in ("lost", "kept")}
        reply = json_reply(FORCED_REMOVAL_JSON.encode({"name": name, **texts}))
    left = [
        operation.result["certificate"]["message"]
        for operation in operations
        if "certificate" in operation.result
        and not operation.result["certificate"]["removed"]
        and not operation.request_as(HostRemoval).keep_trust
    ]
    return with_warnings(reply, left)


async def plan(call: Call, name: str, host_ids: Sequence[int]) -> Reply:
    """Returns the answer of a dry run. By force, or with decompose on a dead host, raises the errors of the removal."""
    removal = removal_of(call)
    for host_id in host_ids if removal.force or removal.decompose else ():
        await call.services.hosts.check_removal(call.caller, host_id, removal)
    return json_reply(await _plan_now(call, name, host_ids))


def confirmation(call: Call, name: str, host_ids: Sequence[int]) -> Confirm | None:
    """Returns what compares the plan with the one that a page has shown, in the transaction that opens the removals."""
    check_plan = call.check_plan
    if check_plan is None:
        return None

    async def confirm(db: Db) -> None:
        check_plan(await _plan_now(call, name, host_ids, db))

    return confirm


async def _plan_now(call: Call, name: str, host_ids: Sequence[int], db: Db | None = None) -> Any:
    """Returns the JSON of the plan; with `db`, as it is in that transaction."""
    removal = removal_of(call)
    found = await call.services.machines.removal_plan(call.caller, name, host_ids, removal, db=db)
    certificates = await call.services.hosts.removal_certificates(call.caller, host_ids, removal, db=db)
    return HOST_REMOVAL_PLAN_JSON.encode(evolve(found, certificates=certificates))
