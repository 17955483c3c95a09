"""Replacing the master key of the sealed secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BadSettings, WrongState
from regiond.accounts.model import ApiKey, SignatureMethod
from regiond.accounts.service import Accounts
from regiond.commands.admin_commands import rewrap_secrets
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import install_key, open_key_file, open_master_key
from regiond.credentials.model import KeyPair
from regiond.credentials.rewrap import BULK_USER_DATA as NAME
from regiond.credentials.rewrap import MAAS_IMPORT_KEY
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.maas.imports import store as maas_store
from regiond.maas.imports.model import NewMaasImport
from regiond.maas.parallel import store as parallel_store
from regiond.machines.bulk import store as bulk_store
from regiond.process.settings import RegionSettings
from tests.integration.support.rigs.joined_racks import add_host_row
from tests.postgresql.database import execute
from tests.support.administrators import add_administrator
from tests.unit.regiond.credentials.test_key_pairs import INSTALLATION, small_pair

SECRETS = {"power_pass": "hunter2", "ssh_private_key": "pem"}


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> RegionSettings:
    return RegionSettings(database=database_url, state=tmp_path / "state")


async def add_sealed(database: Database, key: MasterKey) -> tuple[int, int, KeyPair]:
    """Adds a host with secrets, and a key pair. Returns both ids and the pair."""
    pair, host_id = small_pair(), await add_host_row(database)
    async with database.transaction() as db:
        await Credentials(key).store(db, host_id, SECRETS)
        pair_id = await pairs(key).insert(db, pair)
    return host_id, pair_id, pair


def pairs(key: MasterKey) -> KeyPairs:
    return KeyPairs(key, installation_id=INSTALLATION, server_name="region")


async def test_rewrap_reseals_every_secret_with_the_new_key(settings: RegionSettings, database: Database) -> None:
    old = open_master_key(settings.state, {}, create=True)
    host_id, pair_id, pair = await add_sealed(database, old)
    report = await rewrap_secrets(settings, settings.state / "new" / "key", {})
    assert report.startswith("Encrypted 3 secrets")
    new = open_master_key(settings.state, {}, create=True)
    assert new == open_key_file(settings.state / "new" / "key") != old
    assert open_key_file(settings.state / f"secrets.key.{old.id.hex()}") == old
    async with database.transaction() as db:
        assert await Credentials(new).load(db, host_id) == SECRETS
        assert (await pairs(new).open(db, pair_id)).credentials["key"] == pair.key_pem
        await Credentials(new).check(db)
        with pytest.raises(BadSettings):
            await Credentials(old).check(db)
        with pytest.raises(BadSettings):
            await pairs(old).open(db, pair_id)


async def test_rewrap_reseals_the_secrets_of_api_keys(settings: RegionSettings, database: Database) -> None:
    old = open_master_key(settings.state, {}, create=True)
    await add_administrator(database)
    before = Accounts(database, record_event=Events.record, secrets=Credentials(old).of_api_keys())
    admin = await before.user("admin")
    key = ApiKey.parse(await before.create_key(admin, "capi", method=SignatureMethod.HMAC_SHA1))
    assert (await rewrap_secrets(settings, settings.state / "key", {})).startswith("Encrypted 1 secrets")
    new = Credentials(open_master_key(settings.state, {}, create=True))
    after = Accounts(database, record_event=Events.record, secrets=new.of_api_keys())
    found = await after.authenticate_signed(key.consumer_key, key.token_key, key.token_secret.__eq__)
    assert found.username == "admin"
    async with database.connection() as db:
        await new.check(db)
        with pytest.raises(BadSettings):
            await Credentials(old).check(db)


async def test_an_interrupted_rewrap_can_be_repeated(settings: RegionSettings, database: Database) -> None:
    old = open_master_key(settings.state, {}, create=True)
    await add_sealed(database, old)
    await rewrap_secrets(settings, settings.state / "key", {})
    install_key(settings.state, old)  # the state if the computer had stopped before the last step
    for _ in range(2):
        assert (await rewrap_secrets(settings, settings.state / "key", {})).startswith("Encrypted 0 secrets")
        assert open_master_key(settings.state, {}, create=True) == open_key_file(settings.state / "key")


async def test_rewrap_rejects_a_running_region_and_a_wrong_key(settings: RegionSettings, database: Database) -> None:
    host_id, _, _ = await add_sealed(database, lost := MasterKey.random())
    open_master_key(settings.state, {}, create=True)
    with pytest.raises(BadSettings, match="Restore the right key file"):
        await rewrap_secrets(settings, settings.state / "key", {})
    await execute(database, "insert into region_process (id, hostname, pid) values (gen_random_uuid(), 'r', 7)")
    with pytest.raises(WrongState, match=r"Running.*: r \(process 7\)"):
        await rewrap_secrets(settings, settings.state / "key", {})
    async with database.transaction() as db:
        assert (await Credentials(lost).load(db, host_id)) == SECRETS


async def test_rewrap_reseals_the_user_data_of_bulk_deployments(settings: RegionSettings, database: Database) -> None:
    old = open_master_key(settings.state, {}, create=True)
    async with database.transaction() as db:
        operation_id = await db.fetchval("insert into operation (kind, max_failures) values ('bulk', 1) returning id")
        await bulk_store.insert_user_data(db, operation_id, Credentials(old).seal_data(operation_id, NAME, b"secret"))
    assert (await rewrap_secrets(settings, settings.state / "key", {})).startswith("Encrypted 1 secrets")
    new = open_master_key(settings.state, {}, create=True)
    async with database.connection() as db:
        sealed = await bulk_store.read_user_data(db, operation_id)
    assert sealed is not None
    assert Credentials(new).unseal_data(operation_id, NAME, sealed) == b"secret"


async def test_rewrap_reseals_the_key_of_a_watched_maas(settings: RegionSettings, database: Database) -> None:
    old = open_master_key(settings.state, {}, create=True)
    async with database.transaction() as db:
        import_id = await db.fetchval("insert into maas_import (origin, counts) values ('{}', '{}') returning id")
        sealed = Credentials(old).seal_data(import_id, MAAS_IMPORT_KEY, b"a:b:c")
        await maas_store.watch(db, import_id, NewMaasImport(url="http://maas:5240/MAAS", key="a:b:c"), sealed)
    assert (await rewrap_secrets(settings, settings.state / "key", {})).startswith("Encrypted 1 secrets")
    async with database.connection() as db:
        access = await parallel_store.access(db, import_id)
    assert access is not None
    unsealed = Credentials(open_master_key(settings.state, {}, create=True))
    assert unsealed.unseal_data(import_id, MAAS_IMPORT_KEY, access.sealed_key) == b"a:b:c"
