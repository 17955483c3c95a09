"""The key pairs that the made-up MAAS shows its LXD servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.certificate_pairs import Pair, make_pair

UUID = "5b2bfa5c-44f5-4a0f-9e0a-2c6d8a3f9b10"
NAME = "site"
CREATED_AT = datetime(2026, 1, 15, tzinfo=UTC)


@cache
def pair_of(host: str) -> Pair:
    """The pair of one host, or of the cluster: valid for ten years, and the same for the whole test process.

    As MAAS makes them, the issuer names the installation.
    """
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "MAAS"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, UUID),
        ]
    )
    return make_pair(f"{host}@{NAME}", starts_at=CREATED_AT, lifetime=timedelta(days=3650), issuer=issuer)
