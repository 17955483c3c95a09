"""A key pair per host, for libvirt over SSH."""

from __future__ import annotations

import re

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_NOT_IN_COMMENTS = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 64


@frozen(kw_only=True)
class SshKeyPair:
    """`private_pem` is OpenSSH's own format; `public_line` is what goes into `authorized_keys`."""

    private_pem: str = field(repr=False)
    public_line: str


def make_ssh_key_pair(host_name: str) -> SshKeyPair:
    """A new ed25519 pair, commented `innkeeper-<host name>`. Host names may be anything; the comment is one word."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    word = _NOT_IN_COMMENTS.sub("-", host_name)[:_LONGEST_NAME].strip("-") or "host"
    return SshKeyPair(
        private_pem=key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        public_line=f"{public} innkeeper-{word}",
    )
