"""Sealed secrets, the master key file and SSH key pairs."""

from __future__ import annotations

import asyncio
import base64
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadSettings
from regiond.credentials.certificates import make_ssh_key_pair
from regiond.credentials.master_key import CREDENTIAL, open_master_key
from regiond.credentials.seal import MasterKey, seal, unseal
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from tests.integration.support.rigs.joined_racks import add_host_row

KEY = MasterKey(bytes(range(32)))


@given(
    st.integers(1, 2**31 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_sealing_round_trips_and_never_repeats_its_bytes(host_id: int, name: str, text: str) -> None:
    sealed = seal(KEY, host_id, name, text)
    assert unseal(KEY, host_id, name, sealed) == text
    assert seal(KEY, host_id, name, text) != sealed


@given(st.data())
def test_a_changed_or_truncated_seal_is_rejected(data: st.DataObject) -> None:
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), sealed[:at]):
        with pytest.raises(BadSettings) as rejected:
            unseal(KEY, 7, "power_pass", damaged)
        assert "hunter2" not in rejected.value.message


def test_a_seal_of_another_host_or_name_is_rejected() -> None:
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    for host_id, name in ((8, "power_pass"), (7, "ssh_private_key")):
        with pytest.raises(BadSettings, match="belongs to another host"):
            unseal(KEY, host_id, name, sealed)


def test_an_error_names_both_master_keys() -> None:
    other = MasterKey.random()
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    with pytest.raises(BadSettings, match=f"{KEY.id.hex()}, but this region has {other.id.hex()}"):
        unseal(other, 7, "power_pass", sealed)


def test_the_repr_of_a_key_does_not_contain_it() -> None:
    assert repr(KEY.material) not in repr(KEY)


def test_the_key_file_is_private_and_created_once(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    created = open_master_key(folder, {}, create=True)
    file = folder / "secrets.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_master_key(folder, {}, create=True) == created
    assert [path.name for path in folder.iterdir()] == ["secrets.key"]


async def test_concurrent_starts_get_the_same_key(tmp_path: Path) -> None:
    keys = await asyncio.gather(*(asyncio.to_thread(open_master_key, tmp_path, {}, create=True) for _ in range(8)))
    assert len({key.material for key in keys}) == 1


def test_a_systemd_credential_takes_precedence(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL).write_bytes(base64.b64encode(KEY.material))
    assert open_master_key(tmp_path, {"CREDENTIALS_DIRECTORY": str(credentials)}, create=True) == KEY
    assert not (tmp_path / "secrets.key").exists()


@pytest.mark.parametrize("content", [b"", b"short", b"?" * 44, base64.b64encode(b"x" * 31)])
def test_a_damaged_key_file_is_rejected_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secrets.key"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(BadSettings, match="backup"):
        open_master_key(tmp_path, {}, create=True)
    assert file.read_bytes() == content


def test_a_key_file_readable_by_others_is_rejected(tmp_path: Path) -> None:
    open_master_key(tmp_path, {}, create=True)
    (tmp_path / "secrets.key").chmod(0o640)
    with pytest.raises(BadSettings, match="chmod 600"):
        open_master_key(tmp_path, {}, create=True)


async def test_host_secrets_are_stored_replaced_loaded_and_deleted(database: Database) -> None:
    credentials, host_id = Credentials(KEY), await add_host_row(database)
    async with database.transaction() as db:
        await credentials.store(db, host_id, {"power_pass": "old", "ssh_private_key": "pem"})
        await credentials.store(db, host_id, {"power_pass": "hunter2"})
        assert await credentials.load(db, host_id) == {"power_pass": "hunter2", "ssh_private_key": "pem"}
        assert b"hunter2" not in await db.fetchval("select string_agg(sealed, '') from secret")
        await credentials.delete(db, host_id, ["power_pass"])
        assert await credentials.load(db, host_id) == {"ssh_private_key": "pem"}
        await credentials.delete(db, host_id)
        assert await credentials.load(db, host_id) == {}


async def test_check_rejects_only_the_wrong_master_key(database: Database) -> None:
    host_id = await add_host_row(database)
    async with database.transaction() as db:
        await Credentials(MasterKey.random()).check(db)
        await Credentials(KEY).store(db, host_id, {"power_pass": "hunter2"})
        await Credentials(KEY).check(db)
        with pytest.raises(BadSettings, match="Restore the right key file"):
            await Credentials(MasterKey.random()).check(db)


def test_openssh_accepts_a_generated_key_pair(tmp_path: Path) -> None:
    pair = make_ssh_key_pair("Gasthof zur Post #1")
    kind, _, comment = pair.public_line.split(" ")
    assert (kind, comment) == ("ssh-ed25519", "innkeeper-Gasthof-zur-Post-1")
    assert "PRIVATE" not in repr(pair)
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private_pem)
    printed = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True)
    assert printed.stdout.split()[:2] == pair.public_line.split()[:2]


@given(st.text())
def test_the_public_line_has_three_words_for_any_host_name(name: str) -> None:
    assert len(make_ssh_key_pair(name).public_line.split()) == 3
    assert make_ssh_key_pair(name).public_line.isprintable()
