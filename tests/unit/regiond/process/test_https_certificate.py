"""The API's certificate: which pairs are accepted, and when its expiry is announced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from common.errors import BadSettings, InvalidRequest
from regiond.https.certificate_files import CertificateFiles, problems
from regiond.https.model import parse_pair
from tests.support.certificate_pairs import DAY, Pair, make_pair

WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505  # to be refused
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def files_of(pair: Pair, folder: Path) -> CertificateFiles:
    certificate, key = pair.write(folder)
    return CertificateFiles(certificate=certificate, key=key)


def test_a_pair_with_its_intermediates_is_read() -> None:
    pair, intermediate = make_pair(), make_pair("intermediate")
    found = parse_pair(pair.certificate_pem + intermediate.certificate_pem, pair.key_pem)
    assert found.fingerprint == pair.fingerprint
    assert found.intermediates == (intermediate.certificate,)


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (b"nothing", make_pair().key_pem, "no certificate in PEM form"),
        (make_pair().certificate_pem, b"nothing", "no private key in PEM form"),
        (make_pair().certificate_pem, make_pair().key_pem, "not for this private key"),
        (make_pair().certificate_pem, make_pair(password=b"x").key_pem, "has a password"),
        (make_pair().certificate_pem, make_pair(key=dsa.generate_private_key(1024)).key_pem, "neither RSA"),  # noqa: S505
        (make_pair().certificate_pem, make_pair(key=WEAK).key_pem, "1024 bits"),
    ],
)
def test_a_bad_pair_is_refused_with_its_reason(certificate: bytes, key: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        parse_pair(certificate, key)


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    files = CertificateFiles(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    with pytest.raises(BadSettings, match=r"Cannot read tls_certificate .*c\.pem: No such file"):
        files.load()


def test_an_expired_certificate_is_a_problem(tmp_path: Path) -> None:
    files = files_of(make_pair(starts_at=NOW, lifetime=10 * DAY), tmp_path)
    assert problems(files, lambda: NOW + DAY) == []
    assert "expired on 2026-11-11 00:00 UTC" in problems(files, lambda: NOW + 11 * DAY)[0]
    assert "valid only from 2026-11-01 00:00 UTC" in problems(files, lambda: NOW - DAY)[0]


@pytest.mark.parametrize(
    ("lifetime_days", "left_days", "notice"),
    [
        (398, 31, None),
        (398, 30, 30),
        (398, 8, 30),
        (398, 6, 7),
        (90, 20, None),
        (90, 6, 7),
        (90, 0.5, 1),
        (90, -1, 0),
        (6, 5, None),
        (6, 0.5, 1),
        (6, -0.1, 0),
    ],
)
def test_expiry_is_announced_in_time_for_each_lifetime(
    lifetime_days: float, left_days: float, notice: int | None
) -> None:
    pair = make_pair(starts_at=NOW, lifetime=timedelta(days=lifetime_days))
    found = parse_pair(pair.certificate_pem, pair.key_pem)
    assert found.days_to_notify(found.expires_at - timedelta(days=left_days)) == notice
