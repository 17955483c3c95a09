"""The key pair by which a VM host that does not exist yet will trust the region."""

from __future__ import annotations

from common.values import DriverType
from regiond.credentials.certificates import make_ssh_key_pair
from regiond.credentials.key_pairs import KeyPairs


async def make_keys(driver: DriverType, host_name: str, key_pairs: KeyPairs) -> tuple[str, str]:
    """Returns the public part, as a guest receives it, and the private key, both PEM or OpenSSH text."""
    if driver is DriverType.LXD:
        pair = await key_pairs.make(host_name)
        return pair.certificate_pem, pair.key_pem
    ssh = make_ssh_key_pair(host_name)
    return ssh.public_line, ssh.private_pem
