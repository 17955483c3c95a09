"""The certificate or SSH host key that identifies a host: exactly one, in one form, as it is pinned.

OpenSSL and libvirt trust everything in the text that they are given, but people compare the fingerprint of one key.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from common.errors import InvalidRequest, NotTrusted
from common.trust.certificates import fingerprint, load_certificate

MAX_CHARACTERS = 32 * 1024  # several times the largest that servers present

_PEM = "-----BEGIN"


def identity_fingerprint(material: str) -> str:
    """Returns the SHA-256 of a PEM certificate in hex, or of a key `ssh-ed25519 AAAA…` as ssh-keygen prints it.

    Raises InvalidRequest unless the text is exactly one of them as a library writes it: with nothing before or after
    it, and no other way to write the same.
    """
    if len(material) > MAX_CHARACTERS:
        raise InvalidRequest(f"longer than {MAX_CHARACTERS} characters")
    if material.startswith(_PEM):
        certificate = load_certificate(material)
        if certificate.public_bytes(serialization.Encoding.PEM).decode() != material:
            raise InvalidRequest("not exactly one certificate in PEM form")
        return fingerprint(certificate)
    if _rewritten_key(material) != material:
        raise InvalidRequest("not exactly one SSH host key")
    digest = hashlib.sha256(base64.b64decode(material.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def check_pin(address: str, pinned: str) -> None:
    """Raises NotTrusted if what is pinned for the server at `address` is not exactly one certificate or key."""
    try:
        identity_fingerprint(pinned)
    except InvalidRequest as error:
        raise NotTrusted(
            f"What is pinned for {address} is {error.message}, so no server is trusted there. Compare the fingerprint "
            "that the server presents, then accept it: innkeeper vm-host trust ID fingerprint=FINGERPRINT"
        ) from error


def _rewritten_key(material: str) -> str:
    try:
        key = serialization.load_ssh_public_key(material.encode())
        form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        return key.public_bytes(*form).decode()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidRequest("neither a certificate in PEM form nor an SSH host key") from error
