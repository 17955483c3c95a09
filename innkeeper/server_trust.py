"""The certificate that a region may present, as the options of `innkeeper login` say."""

from __future__ import annotations

from pathlib import Path

from common.errors import InvalidRequest
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust, fingerprint_of


def read_trust(*, url: str, ca_file: str | None, fingerprint: str | None) -> ServerTrust:
    """The trust of `innkeeper login`'s options. Raises InvalidRequest."""
    if ca_file is None and fingerprint is None:
        return BY_THE_COMPUTER
    if not url.startswith("https:"):
        raise InvalidRequest(f"--ca-file and --fingerprint are for https, and the address is {url}")
    if ca_file is not None and fingerprint is not None:
        raise InvalidRequest("Use --ca-file or --fingerprint, not both.")
    return (
        ServerTrust(fingerprint=fingerprint_of(fingerprint)) if fingerprint is not None else _authorities(ca_file or "")
    )


def _authorities(path: str) -> ServerTrust:
    import ssl  # noqa: PLC0415  # commands that only help do not wait for it

    try:
        pem = Path(path).read_text(encoding="ascii")
        ssl.create_default_context(cadata=pem)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = "it has no certificate in PEM form"
        if isinstance(error, OSError) and error.filename is not None:
            reason = str(error.strerror)
        raise InvalidRequest(f"Cannot use --ca-file {path}: {reason}.") from error
    return ServerTrust(authority_pem=pem)
