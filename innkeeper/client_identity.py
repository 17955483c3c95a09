"""Reads the credentials of an RPC client from its folder."""

from __future__ import annotations

from pathlib import Path

from common.certificates import Credentials, Role, load_certificate, subject_of, utc_now
from common.errors import BadSettings, InnkeeperError

CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"


def read_identity(folder: Path) -> tuple[Credentials, str]:
    """Returns the credentials that `innkeeper client issue` wrote, and the client's name. Raises BadSettings."""
    credentials = Credentials(
        key_pem=_read(folder / KEY),
        certificate_pem=_read(folder / CERTIFICATE),
        authority_pem=_read(folder / AUTHORITY),
    )
    try:
        subject = subject_of(load_certificate(credentials.certificate_pem))
        load_certificate(credentials.authority_pem)
    except InnkeeperError as error:
        raise BadSettings(f"{folder} contains no certificate of an RPC client: {error.message}.") from error
    if subject.role is not Role.CLIENT:
        raise BadSettings(f"{folder / CERTIFICATE} is the certificate of a {subject.role}, not of an RPC client.")
    if is_expired(folder):
        raise BadSettings(
            f"The certificate in {folder} has expired: no program has used it for days. Issue a new one: "
            f"innkeeper client issue {subject.name} --to {folder}"
        )
    return credentials, subject.name


def is_expired(folder: Path) -> bool:
    """Whether the folder has a certificate that is no longer valid."""
    try:
        certificate = load_certificate((folder / CERTIFICATE).read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, InnkeeperError):
        return False
    return certificate.not_valid_after_utc < utc_now()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not PEM"
        raise BadSettings(f"Cannot read {path} ({reason}). Create it with: innkeeper client issue NAME") from error
