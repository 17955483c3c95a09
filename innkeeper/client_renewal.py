"""Renews the certificate of an RPC client in its folder, over its link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from common.certificates import Credentials, load_certificate, make_signing_request, renew_at, utc_now
from common.process.private_files import write_private
from common.rpc.client_commands import CLIENT_RENEW
from common.rpc.link import Link
from common.rpc.region_commands import RenewCall
from innkeeper.client_identity import CERTIFICATE

CHECK_EVERY_S = 3600.0
CALL_S = 30.0


class CertificateRenewal:
    """The link keeps the old certificate, which stays valid until it expires; the next link uses the new one."""

    def __init__(
        self,
        link: Link,
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
