"""Words for fields of the API where a page names them, such as the audit trail. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.ui.texts import constant

_LABELS: Mapping[str, str] = {
    "at_once": constant("how many at the same time"),
    "cidr": "CIDR",
    "cpu_over_commit_ratio": constant("CPU ratio"),
    "current_password": constant("present password"),
    "distro_series": constant("image"),
    "dns_servers": constant("DNS servers"),
    "end_ip": constant("last address"),
    "gateway_ip": constant("gateway"),
    "is_active": constant("may log in"),
    "is_superuser": constant("administrator"),
    "lifetime_s": constant("lifetime"),
    "memory_over_commit_ratio": constant("memory ratio"),
    "mtu": "MTU",
    "power_address": constant("address"),
    "power_pass": constant("password"),
    "q": constant("search"),
    "signature_method": constant("signature"),
    "start_ip": constant("first address"),
    "typed": constant("text to type"),
    "vid": constant("VLAN tag"),
}


def api_field_words(name: str) -> str:
    """Returns `address` for `power_address`; another name is written with blanks."""
    return _LABELS.get(name) or name.replace("_", " ").replace("-", " ")
