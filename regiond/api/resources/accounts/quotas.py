"""`quotas/` and `quotas/{id}/`: limits of the machines of a user or in a resource pool."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import found, serve, target
from regiond.api.serializers.accounts import QUOTA_JSON

_GB = 10**9
_UNLIMITED = -1
_MAX_STORAGE_GB = 9 * 10**9
_COUNT = Integer(minimum=_UNLIMITED)
_LIMITS = (
    Field("machines", _COUNT, "Number of machines; -1: no limit.", recorded=True, example=10),
    Field("cores", _COUNT, "Cores of all machines together; -1: no limit."),
    Field("memory", _COUNT, "MiB of memory of all machines together; -1: no limit."),
    Field(
        "storage",
        Integer(minimum=_UNLIMITED, maximum=_MAX_STORAGE_GB),
        "GB (1000³ bytes) of all disks together; -1: no limit.",
    ),
)
_SUBJECT = (
    Field("user", Text(max_length=255, blank=None), "Name of the user; or pool.", recorded=True, example="ann"),
    Field("pool", Text(max_length=256, blank=None), "Id or name of the resource pool; or user.", recorded=True),
)
_COLUMNS = (
    ("machines", "machines", 1),
    ("cores", "cores", 1),
    ("memory", "memory_mib", 1),
    ("storage", "storage_bytes", _GB),
)
_QUOTA = Result(doc="The quota, with what counts for it.", type=QUOTA_JSON)


def _limits(call: Call) -> dict[str, int | None]:
    values = call.values
    given = ((column, values[name], factor) for name, column, factor in _COLUMNS if values[name] is not None)
    return {column: None if value == _UNLIMITED else value * factor for column, value, factor in given}


_find = found(lambda s: s.quotas.read, "id", number_of="quota")
_list = serve(lambda s: s.quotas.list)
_create = serve(lambda s: s.quotas.create, "user", "pool", limits=_limits)
_update = serve(lambda s: s.quotas.update, quota_id=target("id"), limits=_limits)
_delete = serve(lambda s: s.quotas.delete, quota_id=target("id"))

QUOTAS = Resource(
    handler="QuotasHandler",
    path="quotas/",
    doc="Quotas: what a user, or all machines in a resource pool, may hold.",
    endpoints=(
        crud.list_of(
            QUOTA_JSON,
            _list,
            title="List quotas",
            doc="Users who are no administrators are shown their own, and those of resource pools that they see.",
            result="The quotas, with what counts for each.",
        ),
        crud.create(
            _QUOTA,
            _create,
            title="Set a quota",
            doc=(
                "Limits not given do not apply. A quota may be lower than what is held: then it refuses more. It "
                "counts the machines that the user owns and those without owner that it composed; or those in the pool."
            ),
            fields=(*_SUBJECT, *_LIMITS),
        ),
    ),
)
QUOTA = Resource(
    handler="QuotaHandler",
    path="quotas/{id}/",
    doc="One quota, by its id.",
    endpoints=(
        crud.read_target(_QUOTA, _find, title="Read a quota"),
        crud.update(
            _QUOTA, _update, title="Change a quota", doc="Changes only the given limits.", fields=_LIMITS, find=_find
        ),
        crud.delete(_delete, title="Delete a quota", find=_find),
    ),
)
RESOURCES = (QUOTAS, QUOTA)
