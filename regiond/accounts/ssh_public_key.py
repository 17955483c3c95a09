"""Checks public SSH keys as users paste them from `~/.ssh/*.pub`. Pure."""

from __future__ import annotations

import base64
import hashlib

from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from common.errors import InvalidRequest

MIN_RSA_BITS = 2048
MAX_COMMENT = 255
TYPES = {
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}  # fmt: skip


@frozen(kw_only=True)
class PublicKey:
    """`text` is type, base64 and comment with single blanks; `fingerprint` as `ssh-keygen -l` shows it."""

    text: str
    fingerprint: str


def parse_public_key(text: str) -> PublicKey:
    """Returns the key on one line. Raises InvalidRequest for the field `key`; no message repeats the text."""
    words = text.strip().split(maxsplit=2)
    if len(text.strip().splitlines()) != 1 or len(words) < 2:
        raise _rejected("Enter one public key on one line: TYPE BASE64 COMMENT, as in ~/.ssh/id_ed25519.pub.")
    kind, encoded, comment = words[0], words[1], words[2].strip() if len(words) > 2 else ""
    if kind not in TYPES:
        raise _rejected(f"Keys of this type are not accepted. Use one of: {', '.join(sorted(TYPES))}.")
    if len(comment) > MAX_COMMENT or not comment.isprintable():
        raise _rejected(f"The comment must have at most {MAX_COMMENT} printable characters.")
    blob = _checked_blob(kind, encoded)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return PublicKey(text=" ".join(filter(None, (kind, encoded, comment))), fingerprint=f"SHA256:{digest}")


def _checked_blob(kind: str, encoded: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
        key = load_ssh_public_key(f"{kind} {encoded}".encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise _rejected(f"This is no valid {kind} key: it may be cut off. Paste the whole line.") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise _rejected(f"The RSA key has {key.key_size} bits; use at least {MIN_RSA_BITS}, or an ed25519 key.")
    elif not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise _rejected(f"This is no valid {kind} key.")
    return blob


def _rejected(message: str) -> InvalidRequest:
    return InvalidRequest.of({"key": [message]})
