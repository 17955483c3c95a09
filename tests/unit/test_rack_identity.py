"""What a rack keeps on disk: its key is its own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from common.certificates import make_authority, utc_now
from common.errors import BadSettings
from rackd.identity import Identity, load, save


def test_a_key_that_others_may_read_is_refused_and_told_with_what_helps(tmp_path: Path) -> None:
    key_pem, certificate_pem = make_authority("rack", utc_now())
    identity = Identity(
        rack_id="r1",
        name="rack",
        installation_id="i1",
        addresses=(),
        key_pem=key_pem,
        certificate_pem=certificate_pem,
        authority_pem="",
    )
    save(tmp_path, identity)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load(tmp_path) == identity
    for mode in (0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(BadSettings, match=f"others may read it: chmod 600 {file}"):
            load(tmp_path)
