"""Says in words what an operation does: `operation 7, which composes quick-fox on hv-01`."""

from __future__ import annotations

from collections.abc import Mapping

from common.phrases import number_of

_MACHINE, _HOST = "{machine}", "{host}"
_WORDS: Mapping[str, str] = {
    "compose": f"composes {_MACHINE} on {_HOST}",
    "power": f"changes the power of {_MACHINE} on {_HOST}",
    "delete": f"deletes {_MACHINE} from {_HOST}",
    "allocate": f"allocates {_MACHINE}",
    "release": f"releases {_MACHINE} on {_HOST}",
    "deploy": f"deploys {_MACHINE} on {_HOST}",
    "refresh": f"refreshes {_HOST}",
    "remove_host": f"removes {_HOST}",
    "rotate_credentials": f"replaces the key pair of {_HOST}",
    "adopt": f"adopts {_MACHINE} on {_HOST}",
    "forget": f"forgets {_MACHINE} on {_HOST}",
    "set_autostart": f"sets whether {_MACHINE} starts with {_HOST}",
    "set_boot_disk": f"makes {_MACHINE} on {_HOST} boot from another disk",
    "clean_up": f"removes what is left of {_MACHINE} on {_HOST}",
}
_POWER: Mapping[object, str] = {
    "on": f"powers {_MACHINE} on {_HOST} on",
    "off": f"powers {_MACHINE} on {_HOST} off",
    "cycle": f"powers {_MACHINE} on {_HOST} off and on",
}


_BULK: Mapping[object, str] = {
    "power_on": "powers {machines} on",
    "power_off": "powers {machines} off",
    "force_off": "powers {machines} off by force",
    "power_cycle": "powers {machines} off and on",
    "release": "releases {machines}",
    "delete": "deletes {machines}",
}


def purpose(kind: str, *, machine: str | None, host: str | None, request: Mapping[str, object]) -> str:
    """`composes quick-fox on hv-01`, `powers 2 machines off`; `request` is the operation's. Names an unknown kind."""
    if kind == "bulk":
        machines = request.get("machines")
        count = number_of(len(machines), "machine") if isinstance(machines, list | tuple) else "several machines"
        return _BULK.get(request.get("action"), "acts on {machines}").format(machines=count)
    words = _POWER.get(request.get("action"), "") if kind == "power" else ""
    words = words or _WORDS.get(kind, f"{kind.replace('_', ' ')} of {_MACHINE} on {_HOST}")
    return words.format(machine=machine or "a machine", host=host or "its host")
