"""Generates the SSH key pair of a libvirt host."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from regiond.credentials.model import SshKeyPair

_NOT_IN_COMMENTS = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 64


def make_ssh_key_pair(host_name: str) -> SshKeyPair:
    """Generates an ed25519 pair with the comment `innkeeper-<host name>`, reduced to one word of safe characters."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    word = _NOT_IN_COMMENTS.sub("-", host_name)[:_LONGEST_NAME].strip("-") or "host"
    return SshKeyPair(
        private_pem=key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        public_line=f"{public} innkeeper-{word}",
    )
