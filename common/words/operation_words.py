"""Says in words what an operation does: `operation 7, which composes quick-fox on hv-01`."""

from __future__ import annotations

from collections.abc import Mapping

from common.words.messages import counted_message, marked, message
from common.words.operation_kinds import words_of

_POWER: Mapping[object, str] = {
    "on": marked("powers {machine} on {host} on"),
    "off": marked("powers {machine} on {host} off"),
    "cycle": marked("powers {machine} on {host} off and on"),
}
_BULK: Mapping[object, str] = {
    "power_on": marked("powers {machines} on"),
    "power_off": marked("powers {machines} off"),
    "force_off": marked("powers {machines} off by force"),
    "power_cycle": marked("powers {machines} off and on"),
    "release": marked("releases {machines}"),
    "delete": marked("deletes {machines}"),
    "deploy": marked("deploys {machines}"),
    "resize": marked("resizes {machines}"),
    "add_disk": marked("adds a disk to each of {machines}"),
    "set_boot": marked("sets what {machines} boot from"),
    "add_interface": marked("adds a NIC to each of {machines}"),
    "clone": marked("composes {machines} with copies of the disks of another"),
}
_REBUILD = marked("rebuilds {machine} on {host}")
_CLONE = marked("composes {machine} on {host} with copies of the disks of {source}")
_IMPORT = marked("imports {machine} to {host}")


def purpose(kind: str, *, machine: str | None, host: str | None, request: Mapping[str, object]) -> str:
    """`composes quick-fox on hv-01`, `powers 2 machines off`; `request` is the operation's. Names an unknown kind."""
    if kind == "bulk":
        several = request.get("machines")
        many = (
            counted_message("{n} machine", "{n} machines", len(several))
            if isinstance(several, list | tuple)
            else message("several machines")
        )
        return message(_BULK.get(request.get("action")) or words_of(kind).does, machines=many)
    template = _POWER.get(request.get("action"), "") if kind == "power" else ""
    if kind == "deploy" and request.get("rebuild"):
        template = _REBUILD
    if kind == "compose" and request.get("import"):
        template = _IMPORT
    template = template or words_of(kind).does
    names = {"machine": machine or message("a machine"), "host": host or message("its host")}
    copied = request.get("copied")
    if kind == "compose" and isinstance(copied, Mapping):
        template, names = _CLONE, {**names, "source": str(copied.get("hostname"))}
    if not template:
        return "{kind} of {machine} on {host}".format(kind=kind.replace("_", " "), **names)
    return message(template, **names)
