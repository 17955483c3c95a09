"""The TLS settings of the API: version 1.2 or newer, forward secrecy, authenticated ciphers."""

from __future__ import annotations

from OpenSSL import SSL

from common.errors import InvalidRequest
from regiond.https.model import ServerCertificate

# Of TLS 1.2; TLS 1.3 has only such ciphers.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


def make_context(found: ServerCertificate) -> SSL.Context:
    """Raises InvalidRequest if OpenSSL does not accept the pair."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
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
