"""The region's own certificate authority: kept in one private file, signs for regions, racks and RPC clients."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from attrs import field, frozen

from common.certificates import (
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
from common.errors import BadSettings, InvalidRequest, NotTrusted
from common.private_files import make_private_folder, write_private
from common.rpc.tls import RegionTls

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_FILE = "authority.pem"  # key and certificate in one file: there is never one without the other
_PARTS = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----\n?", re.DOTALL)


@frozen(kw_only=True)
class Authority:
    """All regions of an installation have the same one: copy its folder to each machine that runs a region."""

    certificate_pem: str
    _key_pem: str = field(repr=False, alias="key_pem")
    _clock: Callable[[], datetime] = field(default=utc_now, alias="clock", eq=False, repr=False)

    @staticmethod
    def is_kept_in(folder: Path) -> bool:
        """Whether `open` would find one there."""
        return (folder / _FILE).exists()

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime] = utc_now) -> Authority:
        """The authority kept in `folder`, made at first. Several processes may do this at once and get the same one.

        Raises BadSettings when the file is readable for others or is damaged; nothing is overwritten then.
        """
        make_private_folder(folder)
        path = folder / _FILE
        with _locked(folder / ".lock"):
            if not path.exists():
                key_pem, certificate_pem = make_authority("Innkeeper authority", clock())
                write_private(path, key_pem + certificate_pem)
                log.info("authority_made", fingerprint=fingerprint(load_certificate(certificate_pem)))
        return cls._read(path, clock)

    @classmethod
    def _read(cls, path: Path, clock: Callable[[], datetime]) -> Authority:
        if path.stat().st_mode & 0o077:
            raise BadSettings(f"{path} holds a private key and others may read it: chmod 600 {path}", path=str(path))
        parts = {match[1]: match[0] for match in _PARTS.finditer(path.read_text())}
        try:
            key_pem, certificate_pem = parts["PRIVATE KEY"], parts["CERTIFICATE"]
            check_key(load_certificate(certificate_pem), key_pem)
        except (KeyError, ValueError, InvalidRequest, NotTrusted) as error:
            raise BadSettings(
                f"{path} does not hold a key and its certificate; bring it back from a backup", path=str(path)
            ) from error
        return cls(certificate_pem=certificate_pem, key_pem=key_pem, clock=clock)

    @property
    def fingerprint(self) -> str:
        """What a join token carries."""
        return fingerprint(load_certificate(self.certificate_pem))

    def sign(self, signing_request_pem: str, subject: Subject, lifetime: timedelta) -> str:
        """A certificate, PEM, for the request's key. Raises InvalidRequest."""
        return issue(
            self._key_pem,
            self.certificate_pem,
            signing_request_pem=signing_request_pem,
            subject=subject,
            now=self._clock(),
            lifetime=lifetime,
        )

    def credentials_for(self, subject: Subject, lifetime: timedelta) -> Credentials:
        """A new key with its certificate: for a region itself, and for `innkeeper client issue`."""
        key_pem = make_key()
        certificate_pem = self.sign(make_signing_request(key_pem, subject.name), subject, lifetime)
        return Credentials(key_pem=key_pem, certificate_pem=certificate_pem, authority_pem=self.certificate_pem)

    def region_tls(self, region_id: str, name: str) -> RegionTls:
        """What a listener needs; its certificate is made anew in memory at each start and before it expires."""
        subject = Subject(role=Role.REGION, id=region_id, name=name)
        return RegionTls(lambda: self.credentials_for(subject, REGION_LIFETIME), self._clock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
