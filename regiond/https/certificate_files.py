"""Reads the two files of the API's certificate into a TLS context, and sees when one changes."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from attrs import frozen
from OpenSSL import SSL

from common.errors import BadSettings, InvalidRequest
from regiond.https.model import ServerCertificate, parse_pair

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024

Version = tuple[tuple[int, int, int] | None, ...]

# Of TLS 1.2; TLS 1.3 has only such ciphers.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


@frozen(kw_only=True)
class Loaded:
    """A pair that OpenSSL accepts."""

    pair: ServerCertificate
    context: SSL.Context


@frozen(kw_only=True)
class CertificateFiles:
    certificate: Path
    key: Path

    def version(self) -> Version:
        """Differs after either file was written or replaced."""
        return tuple(_version(path) for path in (self.certificate, self.key))

    def load(self) -> Loaded:
        """Raises BadSettings with the files and the reason. An expired certificate is loaded."""
        certificate_pem, key_pem = _read(self.certificate, "tls_certificate"), _read(self.key, "tls_key")
        try:
            pair = parse_pair(certificate_pem, key_pem)
            return Loaded(pair=pair, context=_make_context(pair))
        except InvalidRequest as error:
            raise BadSettings(self.described(error.message)) from error

    def load_valid(self, now: datetime) -> Loaded:
        """The same, but raises BadSettings for a certificate that is not valid now too."""
        found = self.load()
        problem = found.pair.date_problem(now)
        if problem is not None:
            raise BadSettings(self.described(problem))
        return found

    def described(self, problem: str) -> str:
        return f"Cannot use tls_certificate {self.certificate} with tls_key {self.key}: {problem}."

    def warn_of_readers(self) -> None:
        """Logs a key that every user of this computer can read."""
        try:
            mode = self.key.stat().st_mode
        except OSError:
            return
        if mode & stat.S_IROTH:
            log.warning("tls_key_readable_by_all", path=str(self.key), mode=oct(stat.S_IMODE(mode)))


def problems(files: CertificateFiles, clock: Callable[[], datetime]) -> list[str]:
    """Returns what prevents the files from being used now."""
    try:
        files.load_valid(clock())
    except BadSettings as error:
        return [error.message]
    return []


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSettings(f"Cannot read {setting} {path}: {error.strerror}.", path=str(path)) from error
    if len(found) > MAX_BYTES:
        raise BadSettings(f"{setting} {path} is larger than {MAX_BYTES} bytes: is it the right file?")
    return found


def _make_context(found: ServerCertificate) -> SSL.Context:
    """Returns the context of TLS 1.2 or newer with forward secrecy and authenticated ciphers.

    Raises InvalidRequest if OpenSSL does not accept the pair.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    # No resumption: a ticket's key would outlive the certificate and the secrecy of connections.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    try:
        context.use_certificate(found.certificate)
        for each in found.intermediates:
            context.add_extra_chain_cert(each)
        context.use_privatekey(found.key)
        context.check_privatekey()
    except SSL.Error as error:
        reasons = "; ".join(str(entry[-1]) for entry in (error.args[0] if error.args else ()))
        raise InvalidRequest(f"OpenSSL rejects it ({reasons or 'no reason given'})") from error
    return context
