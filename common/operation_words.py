"""Says in words what an operation does: `operation 7, which composes quick-fox on hv-01`."""

from __future__ import annotations

from collections.abc import Mapping

_MACHINE, _HOST = "{machine}", "{host}"
_WORDS: Mapping[str, str] = {
    "compose": f"composes {_MACHINE} on {_HOST}",
    "power": f"changes the power of {_MACHINE} on {_HOST}",
    "delete": f"deletes {_MACHINE} from {_HOST}",
    "allocate": f"allocates {_MACHINE}",
    "release": f"releases {_MACHINE} on {_HOST}",
    "refresh": f"refreshes {_HOST}",
    "remove_host": f"removes {_HOST}",
    "rotate_credentials": f"replaces the key pair of {_HOST}",
    "adopt": f"adopts {_MACHINE} on {_HOST}",
    "forget": f"forgets {_MACHINE} on {_HOST}",
    "bulk": "acts on several machines",
    "clean_up": f"removes what is left of {_MACHINE} on {_HOST}",
}
_POWER: Mapping[object, str] = {
    "on": f"powers {_MACHINE} on {_HOST} on",
    "off": f"powers {_MACHINE} on {_HOST} off",
    "cycle": f"powers {_MACHINE} on {_HOST} off and on",
}


def purpose(kind: str, *, machine: str | None, host: str | None, power: object = None) -> str:
    """`composes quick-fox on hv-01`; `power` is the action of a power operation. Unknown kinds are named."""
    words = _POWER.get(power, "") if kind == "power" else ""
    words = words or _WORDS.get(kind, f"{kind.replace('_', ' ')} of {_MACHINE} on {_HOST}")
    return words.format(machine=machine or "a machine", host=host or "its host")


def power_action(request: Mapping[str, object]) -> object:
    """The `power` of `purpose`, from the request of an operation."""
    return request.get("action")
