"""`tags/` and `tags/{name}/`: tags of machines and VM hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Text, TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import filled, found, serve, target, text
from regiond.api.serializers.controllers import CONTROLLER_JSON
from regiond.api.serializers.devices import DEVICE_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.api.serializers.tags import REBUILT_TAG_JSON, TAG_JSON, TAGGED_NODES_JSON
from regiond.api.serializers.vm_hosts.host_machines import as_machine
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.requests.long_list import LongList
from regiond.tags.model import MAX_NAME, NAME_PATTERN, Tag, TagChange

_NAME = Text(
    max_length=MAX_NAME, pattern=NAME_PATTERN, message="Use only letters of ASCII, digits, underscores and hyphens."
)
_TEXT = Text(max_length=16_384)
_COMMENT = "What the tag is for."
_DEFINITION = "An XPath expression for MAAS: stored and shown, never evaluated."
_KERNEL_OPTS = "Kernel options for MAAS: stored and shown, without effect."
_NODES = TextList(max_items=10_000, max_length=64)
_TAG = Result(doc="The tag.", type=TAG_JSON)
_find = found(lambda s: s.tags.read, "name")
_list = serve(lambda s: s.tags.list)
_create = serve(lambda s: s.tags.create, tag=filled(Tag))
_update = serve(lambda s: s.tags.update, name=target("name"), change=filled(TagChange, name=text("name")))
_delete = serve(lambda s: s.tags.delete, name=target("name"))
_update_nodes = serve(lambda s: s.tags.update_nodes, "add", "remove", name=target("name"))


async def _machines(call: Call) -> LongList[MachineView]:
    return await call.services.machines.long_list(MachineFilter(tags=(call.target.name,)), caller=call.caller)


async def _nodes(call: Call) -> LongList[MachineView]:
    """Returns machines, then VM hosts, each as the machine that `machines/{system_id}/` shows."""
    machines = await _machines(call)
    hosts = await call.services.hosts.long_list(caller=call.caller)
    tagged = [as_machine(one) async for batch in hosts.batches() for one in batch if call.target.name in one.tags]

    async def read(keys: Sequence[Any]) -> Sequence[MachineView]:
        of_machines = [key for key in keys if not isinstance(key, MachineView)]
        found = await machines.read(of_machines) if of_machines else ()
        return [*found, *(key for key in keys if isinstance(key, MachineView))]

    return LongList(keys=[*machines.keys, *tagged], read=read, batch=machines.batch)


TAGS = Resource(
    handler="TagsHandler",
    path="tags/",
    doc="Tags: names by which machines and VM hosts are selected.",
    endpoints=(
        crud.list_of(
            TAG_JSON,
            _list,
            title="List tags",
            doc="The tags that were created, and those of machines and VM hosts that you may see, by name.",
            result="The tags.",
        ),
        crud.create(
            _TAG,
            _create,
            title="Create a tag",
            fields=(
                Field(
                    "name",
                    _NAME,
                    "Unique name: letters, digits, underscores and hyphens.",
                    recorded=True,
                    required=True,
                    example="ssd",
                ),
                Field("comment", _TEXT, _COMMENT, default="", example="has local flash"),
                Field("definition", _TEXT, _DEFINITION, default=""),
                Field("kernel_opts", _TEXT, _KERNEL_OPTS, default=""),
            ),
        ),
    ),
)
TAG = Resource(
    handler="TagHandler",
    path="tags/{name}/",
    doc="One tag, by its name.",
    endpoints=(
        crud.read_target(_TAG, _find, title="Read a tag"),
        crud.update(
            _TAG,
            _update,
            title="Update a tag",
            doc="A new name is the name of the tag on its machines and VM hosts too.",
            find=_find,
            fields=(
                Field("name", _NAME, "A new name.", recorded=True, example="ssd"),
                Field("comment", _TEXT, _COMMENT, example="has local flash"),
                Field("definition", _TEXT, _DEFINITION),
                Field("kernel_opts", _TEXT, _KERNEL_OPTS),
            ),
        ),
        crud.delete(
            _delete,
            title="Delete a tag",
            doc="Machines and VM hosts lose it. The tag pod-console-logging of all VM hosts cannot be deleted.",
            find=_find,
        ),
        crud.action(
            "update_nodes",
            Result(doc="How many machines and VM hosts were named.", type=TAGGED_NODES_JSON),
            _update_nodes,
            title="Add a tag to machines and remove it from others",
            find=_find,
            fields=(
                Field(
                    "add",
                    _NODES,
                    "System id or name of a machine or VM host that gets the tag; may be repeated.",
                    recorded=True,
                    default=(),
                    example=("wdpx3n",),
                ),
                Field(
                    "remove",
                    _NODES,
                    "System id or name of one that loses it; may be repeated. Unknown ones are ignored.",
                    recorded=True,
                    default=(),
                ),
            ),
        ),
        crud.list_of(
            MACHINE_JSON,
            _machines,
            op="machines",
            title="List the machines with a tag",
            result="The machines.",
            find=_find,
            expensive=True,
        ),
        crud.list_of(
            MACHINE_JSON,
            _nodes,
            op="nodes",
            title="List the nodes with a tag",
            doc="Machines, then VM hosts in the form of machines.",
            result="The nodes.",
            find=_find,
            expensive=True,
        ),
        crud.list_of(
            DEVICE_JSON,
            crud.no_objects,
            op="devices",
            title="List the devices with a tag",
            doc="Devices have no tags: always empty.",
            result="The devices.",
            find=_find,
        ),
        *(
            crud.list_of(
                CONTROLLER_JSON,
                crud.no_objects,
                op=f"{kind}_controllers",
                title=f"List the {kind} controllers with a tag",
                doc="They have no tags: always empty.",
                result="The controllers.",
                find=_find,
            )
            for kind in ("rack", "region")
        ),
        crud.action(
            "rebuild",
            Result(doc="The name of the tag.", type=REBUILT_TAG_JSON),
            crud.as_found,
            title="Rebuild a tag",
            doc="Changes nothing: the definition of a tag is never evaluated, so there is nothing to rebuild.",
            find=_find,
        ),
    ),
)
RESOURCES = (TAGS, TAG)
