"""The certificate that a region may present: by default one that an authority of this computer signed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
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
                f"The server presents the certificate {shown}, but this profile expects {self.fingerprint}. If the "
                "region has a new certificate, log in again with its fingerprint; otherwise this is another server."
            )


BY_THE_COMPUTER = ServerTrust()


def read_trust(*, url: str, ca_file: str | None, fingerprint: str | None) -> ServerTrust:
    """The trust of `innkeeper login`'s options. Raises InvalidRequest."""
    if ca_file is None and fingerprint is None:
        return BY_THE_COMPUTER
    if not url.startswith("https:"):
        raise InvalidRequest(f"--ca-file and --fingerprint are for https, and the address is {url}")
    if ca_file is not None and fingerprint is not None:
        raise InvalidRequest("Use --ca-file or --fingerprint, not both.")
    return (
        ServerTrust(fingerprint=_fingerprint(fingerprint)) if fingerprint is not None else _authorities(ca_file or "")
    )


def _fingerprint(text: str) -> str:
    found = text.rpartition("=")[2].replace(":", "").strip().lower()
    if _FINGERPRINT.fullmatch(found) is None:
        raise InvalidRequest(
            "A fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits with or without colons, as openssl "
            "x509 -noout -fingerprint -sha256 -in FILE prints it."
        )
    return found


def _authorities(path: str) -> ServerTrust:
    import ssl  # noqa: PLC0415  # see above

    try:
        pem = Path(path).read_text(encoding="ascii")
        ssl.create_default_context(cadata=pem)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "it has no certificate in PEM form"
        if isinstance(error, OSError) and error.filename is not None:
            reason = str(error.strerror)
        raise InvalidRequest(f"Cannot use --ca-file {path}: {reason}.") from error
    return ServerTrust(authority_pem=pem)
