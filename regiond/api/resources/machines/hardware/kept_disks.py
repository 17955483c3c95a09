"""`kept-disks/`: disks that no machine has."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.operation_wait import STARTED, when_done, without_content
from regiond.api.declaration.serializer import Serializer, fields_of, serializer, uri_by_id
from regiond.api.replies import Reply
from regiond.api.resources.machines.hardware.disk_changes import PLAN, plan_reply
from regiond.api.services import Services
from regiond.machines.values.disks import KeptDisk
from regiond.requests.caller import Permission

KEPT_DISK_JSON: Serializer[KeptDisk] = serializer(
    "KeptDisk",
    uri_by_id("kept-disks"),
    *fields_of(
        KeptDisk,
        "id hostname label tags size=size_bytes volume storage_pool=storage_pool_key storage_pool_name "
        "vm_host=host_name vm_host_id=host_id owner pool=pool_name kept_at is_listed",
    ),
)


async def find_kept_disk(services: Services, path: Mapping[str, str]) -> KeptDisk:
    if not path["id"].isdecimal():
        raise NotFound(f"There is no kept disk {path['id']}.")
    return await services.kept_disks.read(int(path["id"]), caller=services.caller)


async def _list(call: Call) -> tuple[KeptDisk, ...]:
    return await call.services.kept_disks.list(call.caller)


async def _delete(call: Call) -> Reply:
    disk: KeptDisk | None = call.target  # None: a repeat of the request after the disk was deleted
    operation = await call.services.kept_disks.start_delete(
        call.caller,
        0 if disk is None else disk.id,
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )
    return await when_done(call, operation, without_content)


async def _deletion_plan(call: Call) -> Reply:
    return plan_reply(await call.services.kept_disks.plan_delete(call.caller, call.target.id))


KEPT_DISKS = Resource(
    handler="KeptDisksHandler",
    path="kept-disks/",
    doc="Disks that were removed from their machine and kept, with their content. Each belongs to whoever had the "
    "machine; only `owner` and administrators attach or delete it.",
    endpoints=(crud.list_of(KEPT_DISK_JSON, _list, title="List kept disks", result="The kept disks."),),
)
KEPT_DISK = Resource(
    handler="KeptDiskHandler",
    path="kept-disks/{id}/",
    doc="One kept disk. attach_disk of a machine of its host gives it to that machine.",
    endpoints=(
        crud.read_target(Result(doc="The kept disk.", type=KEPT_DISK_JSON), find_kept_disk, title="Read a kept disk"),
        with_dry_run(
            Endpoint(
                method="DELETE",
                permission=Permission.OWNER,
                title="Delete a kept disk",
                doc="Deletes the volume and all data on it from the host.",
                result=crud.NOTHING,
                success=204,
                opens_operation=True,
                other_answers=(STARTED,),
                find=find_kept_disk,
                outlives_target=True,
                run=_delete,
            ),
            _deletion_plan,
            result=PLAN,
            doc=CHANGE_DOC,
        ),
    ),
)
RESOURCES = (KEPT_DISKS, KEPT_DISK)
