"""The identity of a MAAS installation, from the certificates that it made. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from cryptography import x509
from cryptography.x509.oid import NameOID

from common.maas.inventory import Host

_MADE_BY = "MAAS"  # the organisation of the issuer


def uuid_of(hosts: Iterable[Host]) -> str:
    """Returns the UUID of the installation, empty if no certificate says it, or two say different ones.

    The API has no call for it. A certificate that MAAS made for a host names it as the unit of its issuer; one that a
    person imported there does not, or is of another MAAS.
    """
    found = {uuid for host in hosts if (uuid := _issuer_uuid(host.certificate))}
    return found.pop() if len(found) == 1 else ""


def _issuer_uuid(certificate: str) -> str:
    try:
        issuer = x509.load_pem_x509_certificate(certificate.encode()).issuer
        makers = {str(one.value) for one in issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
        units = [str(one.value) for one in issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
        return str(UUID(units[0])) if _MADE_BY in makers and len(units) == 1 else ""
    except ValueError:  # no certificate, or no UUID
        return ""
