"""Parses and formats the host part of an address: a host name or an IP address."""

from __future__ import annotations

import ipaddress
import re

from common.errors import InvalidRequest

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def parse_host(text: str) -> str:
    """Returns a host name in lower case or a normalised IP address; an IPv6 address without its brackets.

    Raises InvalidRequest for an empty or invalid host, and for an IPv6 address with a zone (`fe80::1%eth0`).
    """
    if not text:
        raise InvalidRequest("The address has no host.")
    try:
        if text.startswith("["):
            return str(ipaddress.IPv6Address(text[1:-1] if text.endswith("]") and "%" not in text else ""))
        if re.fullmatch(r"[0-9.]+", text, re.ASCII):
            return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise InvalidRequest("The host of the address is not a valid IP address.") from None
    if len(text) > 253 or _NAME.fullmatch(text) is None:
        raise InvalidRequest("The host of the address is not a valid host name.")
    return text.lower()


def bracketed(host: str) -> str:
    """Returns the host as it precedes a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
