"""How a host is reached, as clients read it: every value a text, and no secret that we made."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import DriverType
from regiond.credentials.key_pairs import OpenPair
from regiond.hosts.credentialing import PASSWORD
from regiond.hosts.model import MASK, HostView
from regiond.hosts.trust_text import trust_command


def parameters_of(
    host: HostView, secrets: Mapping[str, str], pair: OpenPair | None, certificate_url: str
) -> dict[str, str]:
    """For administrators. The key is there only when a person brought it; ours is masked, as is an unused password."""
    found = {"power_address": host.address}
    if host.driver is DriverType.LXD:
        found |= _of_lxd(host, secrets, pair, certificate_url)
    else:
        found["power_pass"] = secrets.get("power_pass", "")
    if host.public_key:
        found["ssh_public_key"] = host.public_key
    if host.pinned_fingerprint:
        found["host_key_fingerprint"] = host.pinned_fingerprint
    if host.project:
        found["project"] = host.project
    return found


def _of_lxd(host: HostView, secrets: Mapping[str, str], pair: OpenPair | None, certificate_url: str) -> dict[str, str]:
    if pair is None:
        return {"certificate": "", "key": ""}
    found = {
        "certificate": pair.view.certificate_pem,
        "key": pair.credentials["key"] if pair.view.imported else MASK,
        "certificate_fingerprint": pair.view.fingerprint,
        "certificate_expires_at": pair.view.expires_at.isoformat(),
        "certificate_url": certificate_url,
        "trust_command": trust_command(certificate_url, host.name),
        "trust_command_restricted": trust_command(certificate_url, host.name, only_project=host.project),
    }
    return found | ({"password": MASK} if PASSWORD in secrets else {})
