"""What a rack keeps on disk: who it is, and the regions it belongs to. Nothing else lasts in a rack."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve, field, frozen

from common.certificates import Credentials, Role, check_issued_by, check_key, load_certificate, subject_of, utc_now
from common.errors import BadSettings, InvalidRequest, NotFound, NotTrusted
from common.private_files import make_private_folder, write_private
from common.wire import from_plain, to_plain

_FILE = "identity.json"  # one file, so that key and certificate always belong together


@frozen(kw_only=True)
class Identity:
    """A member's key and certificate, and where its regions are (`host:port`)."""

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
        """The same rack with a new key and certificate. Raises NotTrusted when they do not fit, or are for another."""
        check_certificate(self.rack_id, key_pem, certificate_pem, authority_pem)
        return evolve(self, key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=authority_pem)


def check_certificate(rack_id: str, key_pem: str, certificate_pem: str, authority_pem: str) -> None:
    """Raises NotTrusted unless the certificate is that rack's, for that key, by that authority, and valid now."""
    certificate = load_certificate(certificate_pem)
    subject = subject_of(certificate)
    if (subject.role, subject.id) != (Role.RACK, rack_id):
        raise NotTrusted(f"the certificate is for {subject.role} {subject.id}, and not for rack {rack_id}")
    check_key(certificate, key_pem)
    check_issued_by(certificate, load_certificate(authority_pem), utc_now())


def save(folder: Path, identity: Identity) -> None:
    """Replace what the folder held, at once. Only the owner may read it."""
    make_private_folder(folder)
    write_private(folder / _FILE, json.dumps(to_plain(identity), indent=1))


def load(folder: Path) -> Identity:
    """Raises NotFound when this rack never joined, BadSettings when the file is damaged or others may read it."""
    path = folder / _FILE
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"this rack has not joined a region yet (no {path}): rackd join TOKEN") from error
    if mode & 0o077:
        raise BadSettings(f"{path} holds a private key and others may read it: chmod 600 {path}", path=str(path))
    try:
        identity = from_plain(json.loads(text), Identity)
        check_key(load_certificate(identity.certificate_pem), identity.key_pem)
    except (ValueError, InvalidRequest, NotTrusted) as error:
        raise BadSettings(f"{path} is damaged: join again with a new token", path=str(path)) from error
    return identity
