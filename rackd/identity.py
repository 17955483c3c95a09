"""Stores the rack's identity and its regions' addresses; a rack stores nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve, field, frozen

from common.errors import BadSettings, InvalidRequest, NotFound, NotTrusted
from common.process.private_files import make_private_folder, write_private
from common.serialization import from_dict, to_dict
from common.trust.certificates import (
    Credentials,
    Role,
    check_issued_by,
    check_key,
    load_certificate,
    subject_of,
    utc_now,
)

_FILE = "identity.json"  # one file, so that key and certificate always match


@frozen(kw_only=True)
class Identity:
    """The rack's key and certificate, and its regions' addresses (`host:port`)."""

    rack_id: str
    name: str
    installation_id: str
    addresses: tuple[str, ...]
    key_pem: str = field(repr=False)
    certificate_pem: str
    authority_pem: str

    @property
    def credentials(self) -> Credentials:
        return Credentials(key_pem=self.key_pem, certificate_pem=self.certificate_pem, authority_pem=self.authority_pem)

    def renewed(self, key_pem: str, certificate_pem: str, authority_pem: str) -> Identity:
        """Returns the same rack with a new key and certificate. Raises NotTrusted if they do not match or name another
        rack.
        """
        check_certificate(self.rack_id, key_pem, certificate_pem, authority_pem)
        return evolve(self, key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=authority_pem)


def check_certificate(rack_id: str, key_pem: str, certificate_pem: str, authority_pem: str) -> None:
    """Raises NotTrusted unless the certificate names this rack, matches the key, and is issued by the authority and
    valid.
    """
    certificate = load_certificate(certificate_pem)
    subject = subject_of(certificate)
    if (subject.role, subject.id) != (Role.RACK, rack_id):
        raise NotTrusted(f"The certificate names {subject.role} {subject.id}, not rack {rack_id}.")
    check_key(certificate, key_pem)
    check_issued_by(certificate, load_certificate(authority_pem), utc_now())


def save(folder: Path, identity: Identity) -> None:
    """Atomically replaces the stored identity. Only the owner can read it."""
    make_private_folder(folder)
    write_private(folder / _FILE, json.dumps(to_dict(identity), indent=1))


def load(folder: Path) -> Identity:
    """Raises NotFound if the rack has not joined, BadSettings if the file is damaged or readable by others."""
    path = folder / _FILE
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"This rack has not joined a region ({path} does not exist). Run: rackd join -") from error
    if mode & 0o077:
        raise BadSettings(
            f"Other users can read {path}, which contains a private key. Run: chmod 600 {path}", path=str(path)
        )
    try:
        identity = from_dict(json.loads(text), Identity)
        check_key(load_certificate(identity.certificate_pem), identity.key_pem)
    except (ValueError, InvalidRequest, NotTrusted) as error:
        raise BadSettings(f"{path} is damaged. Run rackd join with a new token.", path=str(path)) from error
    return identity
