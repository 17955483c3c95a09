"""The report of a deployed guest about the hypervisor that was set up in it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from attrs import frozen

from common.errors import InvalidRequest

LONGEST_PROBLEM = 4096  # characters
_FINGERPRINT = re.compile(r"[A-Za-z0-9:+/=]{1,128}")


@frozen(kw_only=True)
class VmHostReport:
    """`address` is the guest's IP address on its way to the region. `fingerprint` is that of its LXD certificate or SSH
    host key; it is empty if there is a `problem`.
    """

    address: str
    fingerprint: str
    problem: str = ""


def read_vm_host_report(fields: Mapping[str, str]) -> VmHostReport:
    """Raises InvalidRequest by field."""
    address, fingerprint = fields.get("address", ""), fields.get("fingerprint", "")
    problem = "".join(one for one in fields.get("problem", "") if one.isprintable() or one == "\n")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InvalidRequest.of({"address": ["Give the IP address of the guest."]}) from None
    if not problem and not fingerprint:
        problem = "The guest gave no reason."
    if not problem and _FINGERPRINT.fullmatch(fingerprint) is None:
        raise InvalidRequest.of({"fingerprint": ["Give the fingerprint of the certificate or SSH host key."]})
    return VmHostReport(
        address=address, fingerprint="" if problem else fingerprint, problem=problem[-LONGEST_PROBLEM:].strip()
    )
