"""Decides whether a MAAS has shown everything: a key with fewer rights gets shorter lists. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from common.errors import MaasRefused, Unsupported
from common.maas.inventory import LeftOut
from regiond.maas.failures import GONE_HELP
from regiond.maas.source.answers import Row, flag, inner, number, required, text

OLDEST = (2, 9)
_GROUPS_SINCE = (3, 8)  # rights are those of groups, not of administrators only
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
_NAMED = 5
_HELP = (
    "Nothing was read. Use the API key of an administrator of MAAS (in 3.8: of a user whose group may edit all "
    "machines), or a dump of its database."
)


def check_version(version: str, where: str) -> None:
    """Raises Unsupported for a MAAS that is too old; 4.0 says of itself that it has no VM hosts."""
    found = _numbers(version)
    if found is not None and found < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise Unsupported(
            f"The MAAS at {where} has version {version}. An import reads {oldest} to 3.8: upgrade MAAS first, or take "
            "a dump of its database."
        )


def check_user(user: Row, version: str, where: str) -> tuple[LeftOut, ...]:
    """Raises MaasRefused for a user who is no administrator; from 3.8, returns what has to be said about one."""
    if flag(user, "is_superuser"):
        return ()
    name = required(user, "username")
    found = _numbers(version)
    if found is None or found < _GROUPS_SINCE:
        raise MaasRefused(
            f"The API key belongs to {name}, who is no administrator of the MAAS at {where}. {_HELP}",
            status=403,
            reason="rights",
        )
    return (
        LeftOut(
            kind="hosts",
            id=name,
            name=name,
            reason=(
                f"The API key belongs to {name}, who is no administrator. MAAS 3.8 shows only what the groups of a "
                "user may see: hosts and machines of other pools may be missing here. Compare the counts with those "
                "of MAAS's pages."
            ),
        ),
    )


def unseen(asked: Iterable[str], machines: Iterable[Row]) -> frozenset[str]:
    """Returns the ids of machines that were asked for and not shown."""
    return frozenset(asked) - {required(one, "system_id") for one in machines}


def vms_without_machine(vms: Iterable[Row], machines: Iterable[Row]) -> frozenset[str]:
    """Returns the names of VMs that have a machine according to MAAS, which was not shown."""
    seen = {number(one, "virtualmachine_id", -1) for one in machines}
    return frozenset(
        text(one, "identifier") for one in vms if one.get("machine_id") is not None and number(one, "id") not in seen
    )


def machines_without_vm(vms: Iterable[Row], machines: Iterable[Row]) -> frozenset[str]:
    """Returns the names of machines whose VM, with its pinned cores, was not shown."""
    seen = {number(one, "id") for one in vms}
    return frozenset(
        text(one, "hostname")
        for one in machines
        if one.get("virtualmachine_id") is not None and number(one, "virtualmachine_id") not in seen
    )


def machines_without_host(hosts: Iterable[Row], machines: Iterable[Row]) -> frozenset[str]:
    """Returns the names of machines whose VM host was not shown."""
    known = {required(one, "id") for one in hosts}
    return frozenset(
        text(one, "hostname") for one in machines if inner(one, "pod") and text(inner(one, "pod"), "id") not in known
    )


def hosts_of_clusters(clusters: Iterable[Row], parameters: Iterable[Row]) -> tuple[int, int] | None:
    """Returns how many hosts are shown and how many clusters of their project have; None if none is missing."""
    shown = Counter(text(one, "project") for one in parameters)
    wanted: Counter[str] = Counter()
    for one in clusters:
        wanted[text(one, "project")] += number(one, "vmhost_count")
    missing = [(shown[project], count) for project, count in wanted.items() if count > shown[project]]
    return missing[0] if missing else None


def refuse_hosts(shown: int, wanted: int, where: str) -> MaasRefused:
    return MaasRefused(
        f"The clusters of the MAAS at {where} have {wanted} hosts, and it shows {shown} of them to this API key. "
        f"{_HELP}",
        status=403,
        reason="rights",
    )


def refuse(names: Iterable[str], of: int, what: str, where: str) -> MaasRefused:
    """Returns the error for objects that exist and were not shown."""
    hidden = sorted(names)
    listed = ", ".join(hidden[:_NAMED]) + (" …" if len(hidden) > _NAMED else "")
    return MaasRefused(
        f"The MAAS at {where} shows {of - len(hidden)} of {of} {what} to this API key; it hides {listed}. {_HELP}",
        status=403,
        reason="rights",
    )


def no_vm_hosts(version: str, where: str) -> MaasRefused:
    """Returns the error for a MAAS that knows neither `vm-hosts/` nor `pods/`."""
    return MaasRefused(
        f"The MAAS at {where} ({version or 'of unknown version'}) has no VM hosts in its API. {GONE_HELP}",
        status=404,
        reason="gone",
    )


def _numbers(version: str) -> tuple[int, int] | None:
    found = _VERSION.match(version)
    return None if found is None else (int(found[1]), int(found[2]))
