"""What a failed connection to a region means, and what helps. Pure."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.web._newclient import ParseError

from common.errors import InnkeeperError, LinkLost

_HOW_TO_TRUST = (
    "If the region has one of your own authority, log in with --ca-file FILE. Otherwise compare: openssl x509 -noout "
    "-fingerprint -sha256 -in TLS_CERTIFICATE on the region's computer prints its fingerprint, for --fingerprint."
)
# OpenSSL's reasons when a handshake is answered with something else than TLS.
_NO_TLS = (
    "wrong version number",
    "packet length too long",
    "record layer failure",
    "http request",
    "unknown protocol",
)


def broken_connection(url: str, error: Exception) -> InnkeeperError:
    """LinkLost if the connection was lost before the response: the request may have been executed.

    Any other error means that no region speaks there, or none that is trusted: a repeat changes nothing.
    """
    reasons = getattr(error, "reasons", None)
    cause: BaseException = reasons[0].value if reasons else error
    if isinstance(cause, SSL.Error):
        reason = "; ".join(str(entry[-1]) for entry in (cause.args[0] if cause.args else ())) or "unknown reason"
        if any(text in reason for text in _NO_TLS):
            other = url.replace("https:", "http:", 1)
            return _unusable(f"The server at {url} does not speak TLS. If it serves plain HTTP, use {other}")
        if "certificate verify failed" in reason:
            return _unusable(f"No authority of this computer vouches for the certificate of {url}. {_HOW_TO_TRUST}")
        return LinkLost(f"TLS error at {url} ({reason}). Check the server's certificate, and https or http.")
    if isinstance(cause, ParseError):
        other = url.replace("http:", "https:", 1)
        return _unusable(
            f"The server at {url} does not speak HTTP. Check the port. If the server expects TLS, use {other}"
        )
    return LinkLost(f"Connection to {url} lost before the response ({reason_of(cause)}).")


def _unusable(message: str) -> InnkeeperError:
    return InnkeeperError(message, unreachable=True)


def reason_of(error: BaseException) -> str:
    """On one line, without a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] or type(error).__name__
