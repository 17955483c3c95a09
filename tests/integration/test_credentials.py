"""Credentials at rest."""

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
from regiond.credentials.master_key import CREDENTIAL, open_master_key
from regiond.credentials.seal import MasterKey, seal, unseal
from regiond.credentials.service import Credentials
from regiond.credentials.ssh_keys import make_ssh_key_pair
from regiond.db.pool import Database

KEY = MasterKey(bytes(range(32)))


@given(
    st.integers(1, 2**31 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_what_was_sealed_is_unsealed_and_twice_the_same_looks_different(host_id: int, name: str, text: str) -> None:
    sealed = seal(KEY, host_id, name, text)
    assert unseal(KEY, host_id, name, sealed) == text
    assert seal(KEY, host_id, name, text) != sealed


@given(st.data())
def test_a_changed_or_shortened_seal_opens_nothing(data: st.DataObject) -> None:
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), sealed[:at]):
        with pytest.raises(BadSettings) as told:
            unseal(KEY, 7, "power_pass", damaged)
        assert "hunter2" not in told.value.message


def test_a_seal_moved_to_another_host_or_name_opens_nothing() -> None:
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    for host_id, name in ((8, "power_pass"), (7, "ssh_private_key")):
        with pytest.raises(BadSettings, match="belongs to another host"):
            unseal(KEY, host_id, name, sealed)


def test_another_master_key_is_named_as_the_reason() -> None:
    other = MasterKey.random()
    sealed = seal(KEY, 7, "power_pass", "hunter2")
    with pytest.raises(BadSettings, match=f"{KEY.id.hex()}, and this region has {other.id.hex()}"):
        unseal(other, 7, "power_pass", sealed)


def test_the_text_of_a_key_is_not_in_its_repr() -> None:
    assert repr(KEY.material) not in repr(KEY)


def test_the_key_file_is_private_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    made = open_master_key(folder, {})
    file = folder / "secrets.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_master_key(folder, {}) == made
    assert [path.name for path in folder.iterdir()] == ["secrets.key"]


async def test_several_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    keys = await asyncio.gather(*(asyncio.to_thread(open_master_key, tmp_path, {}) for _ in range(8)))
    assert len({key.material for key in keys}) == 1


def test_a_credential_handed_over_by_systemd_comes_first(tmp_path: Path) -> None:
    handed = tmp_path / "credentials"
    handed.mkdir()
    (handed / CREDENTIAL).write_bytes(base64.b64encode(KEY.material))
    assert open_master_key(tmp_path, {"CREDENTIALS_DIRECTORY": str(handed)}) == KEY
    assert not (tmp_path / "secrets.key").exists()


@pytest.mark.parametrize("content", [b"", b"short", b"?" * 44, base64.b64encode(b"x" * 31)])
def test_a_damaged_key_file_is_refused_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secrets.key"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(BadSettings, match="backup"):
        open_master_key(tmp_path, {})
    assert file.read_bytes() == content


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    open_master_key(tmp_path, {})
    (tmp_path / "secrets.key").chmod(0o640)
    with pytest.raises(BadSettings, match="chmod 600"):
        open_master_key(tmp_path, {})


async def test_secrets_of_a_host_are_stored_replaced_loaded_and_forgotten(database: Database) -> None:
    credentials, host_id = Credentials(KEY), await _host(database)
    async with database.transaction() as db:
        await credentials.store(db, host_id, {"power_pass": "old", "ssh_private_key": "pem"})
        await credentials.store(db, host_id, {"power_pass": "hunter2"})
        assert await credentials.load(db, host_id) == {"power_pass": "hunter2", "ssh_private_key": "pem"}
        assert b"hunter2" not in await db.fetchval("select string_agg(sealed, '') from secret")
        await credentials.forget(db, host_id, ["power_pass"])
        assert await credentials.load(db, host_id) == {"ssh_private_key": "pem"}
        await credentials.forget(db, host_id)
        assert await credentials.load(db, host_id) == {}


async def test_a_start_with_the_wrong_key_is_noticed_and_with_the_right_one_is_not(database: Database) -> None:
    host_id = await _host(database)
    async with database.transaction() as db:
        await Credentials(MasterKey.random()).check(db)
        await Credentials(KEY).store(db, host_id, {"power_pass": "hunter2"})
        await Credentials(KEY).check(db)
        with pytest.raises(BadSettings, match="bring back the right key file"):
            await Credentials(MasterKey.random()).check(db)


def test_a_key_pair_is_one_that_openssh_takes(tmp_path: Path) -> None:
    pair = make_ssh_key_pair("Gasthof zur Post #1")
    kind, _, comment = pair.public_line.split(" ")
    assert (kind, comment) == ("ssh-ed25519", "innkeeper-Gasthof-zur-Post-1")
    assert "PRIVATE" not in repr(pair)
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private_pem)
    told = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True)
    assert told.stdout.split()[:2] == pair.public_line.split()[:2]


@given(st.text())
def test_the_public_line_is_one_line_of_three_words_whatever_the_host_is_called(name: str) -> None:
    assert len(make_ssh_key_pair(name).public_line.split()) == 3
    assert make_ssh_key_pair(name).public_line.isprintable()


async def _host(database: Database) -> int:
    async with database.connection() as db:
        host_id: int = await db.fetchval(
            "insert into vm_host (name, driver, address, system_id) values ('a', 'virsh', 'a', 'a') returning id"
        )
    return host_id
