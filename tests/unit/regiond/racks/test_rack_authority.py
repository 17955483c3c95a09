"""The file of the authority is created once, stays private and is never partly written."""

from __future__ import annotations

import stat
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from common.errors import BadSettings
from common.process.private_files import write_private
from common.trust.certificates import Role, Subject, check_issued_by, load_certificate, subject_of, utc_now
from regiond.racks.enrolment.authority import Authority


def fingerprint_in(folder: str) -> str:
    return Authority.open(Path(folder)).fingerprint


def test_the_authority_is_created_once_and_reopened(tmp_path: Path) -> None:
    created = Authority.open(tmp_path / "ca")
    assert Authority.open(tmp_path / "ca") == created
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ca" / "authority.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(created)


def test_concurrent_starts_on_one_folder_get_the_same_authority(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(fingerprint_in, [str(tmp_path / "ca")] * 8))
    assert found == {Authority.open(tmp_path / "ca").fingerprint}


def test_issued_certificates_verify_against_the_authority(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    subject = Subject(role=Role.CLIENT, id="c1", name="alice")
    credentials = authority.credentials_for(subject, timedelta(days=1))
    certificate = load_certificate(credentials.certificate_pem)
    assert subject_of(certificate) == subject
    check_issued_by(certificate, load_certificate(authority.certificate_pem), utc_now())


def test_a_file_that_others_can_read_is_rejected(tmp_path: Path) -> None:
    Authority.open(tmp_path / "ca")
    (tmp_path / "ca" / "authority.pem").chmod(0o640)
    with pytest.raises(BadSettings, match="chmod 600"):
        Authority.open(tmp_path / "ca")


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_damaged_file_is_rejected_and_not_changed(tmp_path: Path, share: float) -> None:
    Authority.open(tmp_path / "ca")
    path = tmp_path / "ca" / "authority.pem"
    text = path.read_text()
    write_private(path, text[: int(len(text) * share)])
    with pytest.raises(BadSettings, match="backup"):
        Authority.open(tmp_path / "ca")
    assert path.read_text() == text[: int(len(text) * share)]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
