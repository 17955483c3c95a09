"""Another master key for the sealed secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BadSettings, WrongState
from regiond.credentials.certificates import KeyPair
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import install_key, open_key_file, open_master_key
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.migrate import migrate
from regiond.db.pool import Database
from regiond.maintenance import rewrap_secrets
from regiond.settings import RegionSettings
from tests.unit.test_host_certificates import INSTALLATION, small_pair

SECRETS = {"power_pass": "hunter2", "ssh_private_key": "pem"}


async def sealed_things(database: Database, key: MasterKey) -> tuple[int, int, KeyPair]:
    """A host with a password, and a key pair."""
    pair = small_pair()
    async with database.transaction() as db:
        host_id: int = await db.fetchval(
            "insert into vm_host (name, driver, address, system_id) values ('a', 'virsh', 'a', 'a') returning id"
        )
        await Credentials(key).store(db, host_id, SECRETS)
        pair_id = await pairs(key).insert(db, pair)
    return host_id, pair_id, pair


def pairs(key: MasterKey) -> KeyPairs:
    return KeyPairs(key, installation_id=INSTALLATION, server_name="region")


async def test_every_secret_opens_with_the_new_key_and_none_with_the_old(tmp_path: Path, database_url: str) -> None:
    settings = RegionSettings(database=database_url, state=tmp_path / "state")
    await migrate(database_url)
    database = await Database.open(database_url)
    try:
        old = open_master_key(settings.state, {})
        host_id, pair_id, pair = await sealed_things(database, old)
        told = await rewrap_secrets(settings, tmp_path / "new" / "key", {})
        assert told.startswith("3 secrets were sealed")
        new = open_master_key(settings.state, {})
        assert new == open_key_file(tmp_path / "new" / "key") != old
        assert open_key_file(settings.state / f"secrets.key.{old.id.hex()}") == old
        async with database.transaction() as db:
            assert await Credentials(new).load(db, host_id) == SECRETS
            assert (await pairs(new).open(db, pair_id)).credentials["key"] == pair.key_pem
            await Credentials(new).check(db)
            with pytest.raises(BadSettings):
                await Credentials(old).check(db)
            with pytest.raises(BadSettings):
                await pairs(old).open(db, pair_id)
    finally:
        await database.close()


async def test_stopped_before_the_key_file_was_replaced_the_same_command_goes_on(
    tmp_path: Path, database_url: str
) -> None:
    settings = RegionSettings(database=database_url, state=tmp_path / "state")
    await migrate(database_url)
    database = await Database.open(database_url)
    try:
        old = open_master_key(settings.state, {})
        await sealed_things(database, old)
        await rewrap_secrets(settings, tmp_path / "key", {})
        install_key(settings.state, old)  # as it was when the machine stopped
        for _ in range(2):
            assert (await rewrap_secrets(settings, tmp_path / "key", {})).startswith("0 secrets")
            assert open_master_key(settings.state, {}) == open_key_file(tmp_path / "key")
    finally:
        await database.close()


async def test_nothing_is_sealed_anew_while_a_region_runs_or_with_the_wrong_key(
    tmp_path: Path, database_url: str
) -> None:
    settings = RegionSettings(database=database_url, state=tmp_path / "state")
    await migrate(database_url)
    database = await Database.open(database_url)
    try:
        host_id, _, _ = await sealed_things(database, lost := MasterKey.random())
        with pytest.raises(BadSettings, match="bring back the right key file"):
            await rewrap_secrets(settings, tmp_path / "key", {})
        async with database.connection() as db:
            await db.execute("insert into region_process (id, hostname, pid) values (gen_random_uuid(), 'r', 7)")
        with pytest.raises(WrongState, match=r"running.*: r \(process 7\)"):
            await rewrap_secrets(settings, tmp_path / "key", {})
        async with database.transaction() as db:
            assert (await Credentials(lost).load(db, host_id)) == SECRETS
    finally:
        await database.close()
