"""The installation's certificate authority, stored in one private file."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from attrs import field, frozen

from common.errors import BadSettings, InvalidRequest, NotTrusted
from common.process.private_files import make_private_folder, write_private
from common.rpc.tls import RegionTls
from common.trust.certificates import (
    REGION_LIFETIME,
    Credentials,
    Role,
    Subject,
    check_key,
    fingerprint,
    issue,
    load_certificate,
    make_authority,
    make_key,
    make_signing_request,
    utc_now,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_FILE = "authority.pem"  # key and certificate, so that neither exists without the other
_PARTS = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----\n?", re.DOTALL)


@frozen(kw_only=True)
class Authority:
    """The authority that all regions of an installation share: copy its folder to each computer that runs a region."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    _clock: Callable[[], datetime] = field(default=utc_now, alias="clock", eq=False, repr=False)

    @staticmethod
    def exists_in(folder: Path) -> bool:
        """Returns whether the folder has an authority."""
        return (folder / _FILE).exists()

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime] = utc_now) -> Authority:
        """Opens the authority in `folder`, creating it if there is none. Concurrent processes open the same one.

        Raises BadSettings if others can read the file or it is damaged; never overwrites it.
        """
        make_private_folder(folder)
        path = folder / _FILE
        with _locked(folder / ".lock"):
            if not path.exists():
                key_pem, certificate_pem = make_authority("Innkeeper authority", clock())
                write_private(path, key_pem + certificate_pem)
                log.info("authority_created", fingerprint=fingerprint(load_certificate(certificate_pem)))
        return cls._read(path, clock)

    @classmethod
    def _read(cls, path: Path, clock: Callable[[], datetime]) -> Authority:
        if path.stat().st_mode & 0o077:
            raise BadSettings(f"Others can read the private key in {path}. Run: chmod 600 {path}", path=str(path))
        parts = {match[1]: match[0] for match in _PARTS.finditer(path.read_text())}
        try:
            key_pem, certificate_pem = parts["PRIVATE KEY"], parts["CERTIFICATE"]
            check_key(load_certificate(certificate_pem), key_pem)
        except (KeyError, ValueError, InvalidRequest, NotTrusted) as error:
            raise BadSettings(
                f"{path} does not contain a key and its certificate. Restore it from a backup.", path=str(path)
            ) from error
        return cls(certificate_pem=certificate_pem, key_pem=key_pem, clock=clock)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate in hex, as in join tokens."""
        return fingerprint(load_certificate(self.certificate_pem))

    @property
    def expires_at(self) -> datetime:
        """The end of the certificate's validity: no rack can connect from then on."""
        return load_certificate(self.certificate_pem).not_valid_after_utc

    def sign(self, signing_request_pem: str, subject: Subject, lifetime: timedelta) -> str:
        """Returns a certificate for the key of the request, as PEM. Raises InvalidRequest."""
        return issue(
            self.key_pem,
            self.certificate_pem,
            signing_request_pem=signing_request_pem,
            subject=subject,
            now=self._clock(),
            lifetime=lifetime,
        )

    def credentials_for(self, subject: Subject, lifetime: timedelta) -> Credentials:
        """Returns a new key with its certificate."""
        key_pem = make_key()
        certificate_pem = self.sign(make_signing_request(key_pem, subject.name), subject, lifetime)
        return Credentials(key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=self.certificate_pem)

    def region_tls(self, region_id: str, name: str) -> RegionTls:
        """Returns the TLS context of a listener. Its certificate is in memory only and renewed before it expires."""
        subject = Subject(role=Role.REGION, id=region_id, name=name)
        return RegionTls(lambda: self.credentials_for(subject, REGION_LIFETIME), self._clock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
