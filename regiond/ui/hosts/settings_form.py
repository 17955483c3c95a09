"""A host's settings as a form shows them, its changes in words and as fields of the API. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from common.errors import InvalidRequest
from common.hosts.host_settings import HostLimits
from regiond.api.declaration.fields import parse_fields
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.hosts.model import AS_ABOVE, CONSOLE_TAG, HostChange, HostView, StoragePoolView, check_change
from regiond.networks.model import HostInterface
from regiond.ui.forms.question import Change
from regiond.ui.hosts.overcommit import ratio_text
from regiond.ui.texts import constant, text
from regiond.ui.views import formats
from regiond.ui.words.autostart_words import AUTOSTART_WORDS

SECRET = "power_pass"  # noqa: S105  # the name of a field
LABELS: Mapping[str, str] = {
    "name": constant("Name"),
    "power_address": constant("Address"),
    "zone": constant("Zone"),
    "pool": constant("Resource pool"),
    "tags": constant("Tags"),
    "default_storage_pool": constant("Default storage pool"),
    "cpu_over_commit_ratio": constant("CPU ratio"),
    "reserved_cores": constant("Reserved cores"),
    "memory_over_commit_ratio": constant("Memory ratio"),
    "reserved_memory": constant("Reserved RAM, MiB"),
    "autostart": constant("VMs when it starts"),
    "default_network": constant("Default network"),
    "default_macvlan_mode": constant("Mode of macvlan NICs"),
    "power_pass": constant("Password"),
    "password": constant("Trust token"),
    "certificate": constant("Certificate"),
    "key": constant("Private key"),
    "fingerprint": constant("Fingerprint"),
}
AUTOSTART_OPTIONS = ((AS_ABOVE, constant("as the installation is set")), *AUTOSTART_WORDS.items())
_WORDS = {  # of values that are no words
    "autostart": dict(AUTOSTART_OPTIONS),
    "default_network": {"": constant("chosen by Innkeeper")},
}
_NEVER_EMPTY = frozenset({"default_storage_pool", "default_macvlan_mode"})
_RATIO = re.compile(r"\d{1,2}(\.\d{1,6})?", re.ASCII)
_AMOUNT = re.compile(r"\d{1,9}", re.ASCII)


def values_of(host: HostView) -> dict[str, str]:
    """Returns what is stored now, by field. The zone of a member is its cluster's, so it is no field of the host."""
    default = next((pool.name for pool in host.storage_pools if pool.is_default), "")
    found = {
        "name": host.name,
        "power_address": host.address,
        "zone": host.zone.name,
        "pool": host.pool.name,
        "tags": ", ".join(tag for tag in host.tags if tag != CONSOLE_TAG),
        "default_storage_pool": default,
        "cpu_over_commit_ratio": ratio_text(host.cpu_over_commit_ratio),
        "reserved_cores": str(host.reserved_cores),
        "memory_over_commit_ratio": ratio_text(host.memory_over_commit_ratio),
        "reserved_memory": str(host.reserved_memory_mib),
        "autostart": host.autostart.value if host.autostart else AS_ABOVE,
        "default_network": host.default_network,
        "default_macvlan_mode": host.default_macvlan_mode or "",
    }
    return {name: value for name, value in found.items() if host.cluster_id is None or name not in {"zone", "pool"}}


def api_fields(changed: Mapping[str, str]) -> dict[str, str]:
    """The fields of the update. Tags may be removed; another field that is empty is one that was not chosen."""
    return {name: value for name, value in changed.items() if value or name not in _NEVER_EMPTY}


def check_fields(host: HostView, fields: Mapping[str, str]) -> None:
    """Raises InvalidRequest, by field, for what the API would refuse without a look at other objects."""
    endpoint = HOST.endpoint("PUT", None)
    parsed = parse_fields(endpoint.fields if endpoint else (), {name: (text,) for name, text in fields.items()})
    if parsed.problems:
        raise InvalidRequest.of(parsed.problems)
    reserved = HostChange(
        reserved_cores=parsed.values["reserved_cores"], reserved_memory_mib=parsed.values["reserved_memory"]
    )
    check_change(reserved, host)


def changes_of(host: HostView, values: Mapping[str, str]) -> list[Change]:
    """Returns what saving the values would change, in words, in the order of the form."""
    stored = values_of(host)
    changed = [name for name in stored if not _is_same(values.get(name, stored[name]), stored[name])]
    return [
        Change(label=LABELS[name], before=_in_words(name, stored[name]), after=_in_words(name, values[name]))
        for name in changed
    ]


def _is_same(text: str, stored: str) -> bool:
    """A slider writes the ratio 1.0 as 1."""
    are_ratios = _RATIO.fullmatch(text) and _RATIO.fullmatch(stored)
    return text == stored or bool(are_ratios and float(text) == float(stored))


def _in_words(name: str, value: str) -> str:
    return _WORDS.get(name, {}).get(value, value) or text("none")


def pool_options(host: HostView) -> tuple[tuple[str, str], ...]:
    """Returns the storage pools that can be the default, each with what is free of it."""
    return tuple((pool.name, _pool_words(pool)) for pool in host.storage_pools if pool.missing_since is None)


def network_options(interfaces: Iterable[HostInterface]) -> tuple[tuple[str, str], ...]:
    """Returns the interfaces of the host that can be the default network."""
    names = {one.name for one in interfaces if one.attachable and one.missing_since is None}
    return tuple((name, name) for name in sorted(names))


def _pool_words(pool: StoragePoolView) -> str:
    free, whole = formats.storage(pool.capacity.free), formats.storage(pool.total_bytes)
    return text("{name} ({type}, {free} of {whole} free)", name=pool.name, type=pool.type, free=free, whole=whole)


def limits_of(host: HostView, values: Mapping[str, str]) -> HostLimits:
    """The limits that the form has so far; a number that is not complete yet is the stored one."""
    return HostLimits(
        cpu_over_commit_ratio=_ratio(values.get("cpu_over_commit_ratio", ""), host.cpu_over_commit_ratio),
        memory_over_commit_ratio=_ratio(values.get("memory_over_commit_ratio", ""), host.memory_over_commit_ratio),
        reserved_cores=_amount(values.get("reserved_cores", ""), host.reserved_cores),
        reserved_memory_mib=_amount(values.get("reserved_memory", ""), host.reserved_memory_mib),
    )


def _ratio(text: str, stored: float) -> float:
    return float(text) if _RATIO.fullmatch(text) and float(text) <= 10 else stored


def _amount(text: str, stored: int) -> int:
    return int(text) if _AMOUNT.fullmatch(text) else stored
