"""The authority's file: made once, kept private, never half."""

from __future__ import annotations

import stat
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from common.certificates import Role, Subject, check_issued_by, load_certificate, subject_of, utc_now
from common.errors import BadSettings
from common.private_files import write_private
from regiond.racks.authority import Authority


def fingerprint_in(folder: str) -> str:
    return Authority.open(Path(folder)).fingerprint


def test_the_authority_is_made_once_and_found_again(tmp_path: Path) -> None:
    made = Authority.open(tmp_path / "ca")
    assert Authority.open(tmp_path / "ca") == made
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ca" / "authority.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made)


def test_regions_that_start_at_once_on_one_folder_get_the_same_authority(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        found = set(pool.map(fingerprint_in, [str(tmp_path / "ca")] * 8))
    assert found == {Authority.open(tmp_path / "ca").fingerprint}


def test_what_it_issues_is_its_own(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    subject = Subject(role=Role.CLIENT, id="c1", name="alice")
    credentials = authority.credentials_for(subject, timedelta(days=1))
    certificate = load_certificate(credentials.certificate_pem)
    assert subject_of(certificate) == subject
    check_issued_by(certificate, load_certificate(authority.certificate_pem), utc_now())


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Authority.open(tmp_path / "ca")
    (tmp_path / "ca" / "authority.pem").chmod(0o640)
    with pytest.raises(BadSettings, match="chmod 600"):
        Authority.open(tmp_path / "ca")


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.7])
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, keep: float) -> None:
    Authority.open(tmp_path / "ca")
    path = tmp_path / "ca" / "authority.pem"
    text = path.read_text()
    write_private(path, text[: int(len(text) * keep)])
    with pytest.raises(BadSettings, match="backup"):
        Authority.open(tmp_path / "ca")
    assert path.read_text() == text[: int(len(text) * keep)]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
