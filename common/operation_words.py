"""Says in words what an operation does: `operation 7, which composes quick-fox on hv-01`."""

from __future__ import annotations

from collections.abc import Mapping

from common.messages import counted_message, marked, message

_WORDS: Mapping[str, str] = {
    "compose": marked("composes {machine} on {host}"),
    "power": marked("changes the power of {machine} on {host}"),
    "delete": marked("deletes {machine} from {host}"),
    "allocate": marked("allocates {machine}"),
    "release": marked("releases {machine} on {host}"),
    "deploy": marked("deploys {machine} on {host}"),
    "refresh": marked("refreshes {host}"),
    "remove_host": marked("removes {host}"),
    "rotate_credentials": marked("replaces the key pair of {host}"),
    "adopt": marked("adopts {machine} on {host}"),
    "forget": marked("forgets {machine} on {host}"),
    "set_autostart": marked("sets whether {machine} starts with {host}"),
    "set_boot_disk": marked("makes {machine} on {host} boot from another disk"),
    "set_boot": marked("sets what {machine} on {host} boots from"),
    "set_start_order": marked("sets when {machine} starts with {host}"),
    "insert_iso": marked("inserts an ISO image into {machine} on {host}"),
    "eject_iso": marked("ejects an ISO image from {machine} on {host}"),
    "resize": marked("resizes {machine} on {host}"),
    "add_disk": marked("adds a disk to {machine} on {host}"),
    "grow_disk": marked("grows a disk of {machine} on {host}"),
    "add_nic": marked("adds a NIC to {machine} on {host}"),
    "change_nic": marked("changes a NIC of {machine} on {host}"),
    "remove_nic": marked("removes a NIC of {machine} on {host}"),
    "remove_disk": marked("removes a disk of {machine} on {host}"),
    "move_disk": marked("moves a disk of {machine} on {host} to another storage pool"),
    "export": marked("exports {machine} on {host}"),
    "import": marked("imports what a MAAS knew"),
    "register_in_maas": marked("registers {machine} on {host} in a MAAS"),
    "unregister_from_maas": marked("ends the registration of {machine} in a MAAS"),
    "clean_up": marked("removes what is left of {machine} on {host}"),
}
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
_ACTS = marked("acts on {machines}")


def purpose(kind: str, *, machine: str | None, host: str | None, request: Mapping[str, object]) -> str:
    """`composes quick-fox on hv-01`, `powers 2 machines off`; `request` is the operation's. Names an unknown kind."""
    if kind == "bulk":
        several = request.get("machines")
        many = (
            counted_message("{n} machine", "{n} machines", len(several))
            if isinstance(several, list | tuple)
            else message("several machines")
        )
        return message(_BULK.get(request.get("action"), _ACTS), machines=many)
    template = _POWER.get(request.get("action"), "") if kind == "power" else ""
    if kind == "deploy" and request.get("rebuild"):
        template = _REBUILD
    if kind == "compose" and request.get("import"):
        template = _IMPORT
    template = template or _WORDS.get(kind, "")
    names = {"machine": machine or message("a machine"), "host": host or message("its host")}
    copied = request.get("copied")
    if kind == "compose" and isinstance(copied, Mapping):
        template, names = _CLONE, {**names, "source": str(copied.get("hostname"))}
    if not template:
        return "{kind} of {machine} on {host}".format(kind=kind.replace("_", " "), **names)
    return message(template, **names)
