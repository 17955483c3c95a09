"""Words for fields of the API where a page names them, such as the audit trail. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_LABELS: Mapping[str, str] = {
    "at_once": "how many at the same time",
    "cidr": "CIDR",
    "cpu_over_commit_ratio": "CPU ratio",
    "current_password": "present password",
    "distro_series": "image",
    "dns_servers": "DNS servers",
    "end_ip": "last address",
    "gateway_ip": "gateway",
    "is_active": "may log in",
    "is_superuser": "administrator",
    "lifetime_s": "lifetime",
    "memory_over_commit_ratio": "memory ratio",
    "mtu": "MTU",
    "power_address": "address",
    "power_pass": "password",
    "q": "search",
    "signature_method": "signature",
    "start_ip": "first address",
    "typed": "text to type",
    "vid": "VLAN tag",
}


def api_field_words(name: str) -> str:
    """Returns `address` for `power_address`; another name is written with blanks."""
    return _LABELS.get(name) or name.replace("_", " ").replace("-", " ")
