"""The connection parameters of a host as the API shows them, without secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import DriverType
from regiond.credentials.model import OpenKeyPair
from regiond.hosts.model import MASK, HostView
from regiond.hosts.trust.host_credentials import PASSWORD
from regiond.hosts.trust.trust_instructions import TrustInstructions


def power_parameters(
    host: HostView, secrets: Mapping[str, str], pair: OpenKeyPair | None, certificate_url: str
) -> dict[str, str]:
    """Returns the parameters with private keys and passwords masked: a user who may change a host need not see them."""
    parameters = {"power_address": host.address}
    if host.driver is DriverType.LXD:
        parameters |= _of_lxd(host, secrets, pair, certificate_url)
    else:
        parameters["power_pass"] = MASK if secrets.get("power_pass") else ""
    if host.public_key:
        parameters["ssh_public_key"] = host.public_key
    if host.pinned_fingerprint:
        parameters["host_key_fingerprint"] = host.pinned_fingerprint
    if host.project:
        parameters["project"] = host.project
    return parameters


def _of_lxd(
    host: HostView, secrets: Mapping[str, str], pair: OpenKeyPair | None, certificate_url: str
) -> dict[str, str]:
    if pair is None:
        return {"certificate": "", "key": ""}
    pem = pair.view.certificate_pem
    trust = TrustInstructions(
        host_name=host.name, url=certificate_url, certificate_pem=pem, project=host.project, product=host.product
    )
    parameters = {
        "certificate": pem,
        "key": MASK,
        "certificate_fingerprint": pair.view.fingerprint,
        "certificate_expires_at": pair.view.expires_at.isoformat(),
        "certificate_url": certificate_url,
        "trust_command": trust.command,
        "trust_command_unrestricted": trust.unrestricted_command,
    }
    return parameters | ({"password": MASK} if PASSWORD in secrets else {})
