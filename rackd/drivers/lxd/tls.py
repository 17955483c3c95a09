"""TLS towards one LXD server: its pinned certificate is the only thing trusted, our key stays in memory."""

from __future__ import annotations

import os
import ssl

from cryptography import x509

from common.certificates import fingerprint, load_certificate
from common.errors import HostUnreachable, InnkeeperError, InvalidRequest, NotTrusted, PeerChanged
from common.lxd_address import LxdAddress

CONNECT_S = 10.0


def context(*, pinned_pem: str, certificate_pem: str, key_pem: str) -> ssl.SSLContext:
    """Trusts `pinned_pem` and nothing else. NotTrusted when certificate and key do not fit each other."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False  # the pinned certificate is the identity
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    memory = os.memfd_create("client", os.MFD_CLOEXEC)  # load_cert_chain takes only paths; no key on disk
    try:
        made.load_verify_locations(cadata=pinned_pem)
        with open(memory, "wb", closefd=False) as stream:
            stream.write(f"{certificate_pem.strip()}\n{key_pem.strip()}\n".encode())
        made.load_cert_chain(f"/proc/self/fd/{memory}", password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        raise NotTrusted(f"The certificate and key for this LXD server cannot be used: {error}.") from error
    finally:
        os.close(memory)
    return made


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal otherwise."""
    raise ValueError("the key is encrypted")


def presented(address: LxdAddress, *, timeout_s: float = CONNECT_S) -> x509.Certificate:
    """The certificate that the server presents, without logging in. HostUnreachable."""
    try:
        return load_certificate(ssl.get_server_certificate((address.host, address.port), timeout=timeout_s))
    except (OSError, ValueError) as error:
        raise HostUnreachable(f"{address.normalised} presents no certificate: {error}.") from error
    except InvalidRequest as error:
        raise HostUnreachable(f"{address.normalised} presents a certificate that cannot be read.") from error


def explain_refusal(address: LxdAddress, pinned_pem: str, reason: str) -> InnkeeperError:
    """The server failed verification: another certificate is a matter for a person."""
    pinned = fingerprint(load_certificate(pinned_pem))
    try:
        offered = fingerprint(presented(address))
    except HostUnreachable as error:
        return error
    if offered == pinned:
        return NotTrusted(f"The certificate {pinned} of {address.normalised} is the one pinned, but: {reason}.")
    return PeerChanged(
        f"{address.normalised} presents the certificate {offered}; the one trusted is {pinned}. If the server's "
        "certificate was replaced on purpose, accept the new one; otherwise somebody else answers there.",
        pinned=pinned,
        presented=offered,
    )
