"""Reads the credentials of an RPC client from its folder, and renews the certificate there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from common.errors import BadSettings, InnkeeperError
from common.process.private_files import write_private
from common.rpc.commands.client_commands import CLIENT_RENEW
from common.rpc.commands.region_commands import RenewCall
from common.rpc.link import Link
from common.trust.certificates import (
    Credentials,
    Role,
    load_certificate,
    make_signing_request,
    renew_at,
    subject_of,
    utc_now,
)
from innkeeper.rpc_calls.region_calls import RegionCalls

CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"
CHECK_EVERY_S = 3600.0
CALL_S = 30.0


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


class CertificateRenewal:
    """The link keeps the old certificate, which stays valid until it expires; the next link uses the new one."""

    def __init__(
        self,
        link: Link | RegionCalls,
        folder: Path,
        credentials: Credentials,
        name: str,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._link = link
        self._folder = folder
        self._key_pem = credentials.key_pem
        self._certificate_pem = credentials.certificate_pem
        self._name = name
        self._clock = clock

    async def renew_if_due(self) -> bool:
        """Writes a new certificate after two thirds of the lifetime. Returns whether it did.

        The key stays, so that one file changes. Raises the region's error, and OSError.
        """
        if self._clock() < renew_at(load_certificate(self._certificate_pem)):
            return False
        call = RenewCall(signing_request_pem=make_signing_request(self._key_pem, self._name))
        renewed = await self._link.call(CLIENT_RENEW, call, deadline_s=CALL_S)
        await asyncio.to_thread(write_private, self._folder / CERTIFICATE, renewed.certificate_pem)
        self._certificate_pem = renewed.certificate_pem
        return True
