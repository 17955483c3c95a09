"""Creates TLS contexts that trust one pinned certificate, and explains failures."""

from __future__ import annotations

import os
import ssl

from cryptography import x509

from common.addresses.lxd import LxdAddress
from common.errors import HostUnreachable, InnkeeperError, InvalidRequest, NotTrusted, PeerChanged
from common.trust.certificates import fingerprint, load_certificate

CONNECT_S = 10.0


def context(*, pinned_pem: str, certificate_pem: str, key_pem: str) -> ssl.SSLContext:
    """Trusts `pinned_pem` and nothing else. Raises NotTrusted if certificate and key do not match."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False  # the pinned certificate identifies the server
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    memory = os.memfd_create("client", os.MFD_CLOEXEC)  # load_cert_chain needs a path; the key is never on disk
    try:
        tls.load_verify_locations(cadata=pinned_pem)
        with open(memory, "wb", closefd=False) as stream:
            stream.write(f"{certificate_pem.strip()}\n{key_pem.strip()}\n".encode())
        tls.load_cert_chain(f"/proc/self/fd/{memory}", password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        raise NotTrusted(f"Cannot use the certificate and key for this server: {error}.") from error
    finally:
        os.close(memory)
    return tls


def _no_passphrase() -> str:
    """Prevents OpenSSL from prompting on the terminal."""
    raise ValueError("the key is encrypted")


def presented(address: LxdAddress, *, timeout_s: float = CONNECT_S) -> x509.Certificate:
    """Returns the certificate that the server presents before a login. Raises HostUnreachable."""
    try:
        return load_certificate(ssl.get_server_certificate((address.host, address.port), timeout=timeout_s))
    except (OSError, ValueError) as error:
        raise HostUnreachable(f"Cannot connect to {address.host_and_port}: {connection_error(error)}") from error
    except InvalidRequest as error:
        raise HostUnreachable(f"{address.host_and_port} presents a malformed certificate.") from error


def connection_error(error: BaseException) -> str:
    """Returns a short reason such as `connection refused`."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return error.strerror[:1].lower() + error.strerror[1:]
    return str(error) or type(error).__name__


def explain_verification_failure(address: LxdAddress, pinned_pem: str, reason: str) -> InnkeeperError:
    """Returns PeerChanged if the server presents another certificate than the pinned one."""
    pinned = fingerprint(load_certificate(pinned_pem))
    try:
        offered = fingerprint(presented(address))
    except HostUnreachable as error:
        return error
    if offered == pinned:
        return NotTrusted(
            f"{address.host_and_port} presents the pinned certificate {pinned}, but its verification failed: {reason}."
        )
    return PeerChanged(
        f"{address.host_and_port} presents the certificate {offered} instead of the pinned {pinned}. If it was "
        f"replaced on purpose, accept it with: innkeeper vm-host trust ID fingerprint={offered}",
        pinned=pinned,
        presented=offered,
    )
