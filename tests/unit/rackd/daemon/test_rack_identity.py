"""The rack's stored identity is readable only by its owner."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from common.errors import BadSettings
from common.trust.certificates import make_authority, utc_now
from rackd.identity import Identity, load, save


def test_a_key_that_others_can_read_is_rejected_with_the_fix(tmp_path: Path) -> None:
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
        with pytest.raises(BadSettings, match=f"chmod 600 {file}"):
            load(tmp_path)
