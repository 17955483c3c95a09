"""The certificate that a server may present: by default one that an authority of this computer signed."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from attrs import frozen

from common.errors import InvalidRequest, NotTrusted

if TYPE_CHECKING:
    import ssl

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)


@frozen(kw_only=True)
class ServerTrust:
    """At most one is set: authorities that replace those of the computer (PEM), or the certificate's fingerprint."""

    authority_pem: str = ""
    fingerprint: str = ""

    def context(self) -> ssl.SSLContext:
        """Returns the context for Python's own TLS. With a fingerprint nothing is verified before `check`."""
        import ssl  # noqa: PLC0415  # commands that only help do not wait for it

        context = ssl.create_default_context(cadata=self.authority_pem or None)
        if self.fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def check(self, certificate_der: bytes | None) -> None:
        """Raises NotTrusted if the certificate has another fingerprint. To be called before anything is sent."""
        if not self.fingerprint:
            return
        shown = hashlib.sha256(certificate_der).hexdigest() if certificate_der else "none"
        if shown != self.fingerprint:
            raise NotTrusted(
                f"The server presents the certificate {shown}, but {self.fingerprint} was pinned. If the server has a "
                "new certificate, compare it there and give its fingerprint again; otherwise this is another server.",
                presented=shown,
                pinned=self.fingerprint,
            )


BY_THE_COMPUTER = ServerTrust()


def fingerprint_of(text: str) -> str:
    """Returns the SHA-256 fingerprint as 64 lower-case digits, from any form that openssl prints.

    Raises InvalidRequest.
    """
    found = text.rpartition("=")[2].replace(":", "").strip().lower()
    if _FINGERPRINT.fullmatch(found) is None:
        raise InvalidRequest(
            "A fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits with or without colons, as openssl "
            "x509 -noout -fingerprint -sha256 -in FILE prints it."
        )
    return found
