"""Checks whether this build can take over the database of a region, without changing anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from attrs import evolve

from common.addresses.ip_networks import LOOPBACK
from common.errors import BadSettings, DatabaseUnavailable
from common.rpc.session import HIGHEST_VERSION, LOWEST_VERSION
from common.trust.certificates import utc_now
from regiond.commands.upgrades import store
from regiond.commands.upgrades.model import Facts, Finding, Level, MissingFile, findings, settings_finding
from regiond.db.migrate import missing_migrations
from regiond.db.migration_files import Migration
from regiond.db.pool import MIN_POSTGRESQL, Database, Db
from regiond.db.privileges import check_not_lent, check_owner
from regiond.process.settings import RegionSettings

_USUAL_FOLDER = Path("/var/lib/postgresql")  # of Debian, if the role may not read the setting


async def check_upgrade(settings: RegionSettings, problems: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Returns the findings. `problems` are those of the settings, without which they were read."""
    wrong = list(problems)
    for check in (settings.check, lambda: settings.required_database):
        try:
            check()
        except BadSettings as error:
            wrong.append(error.message)
    of_settings = settings_finding(wrong)
    if settings.database is None:
        return (of_settings,)
    return (of_settings, *await _database_findings(settings.database))


async def _database_findings(dsn: str) -> tuple[Finding, ...]:
    try:
        database = await Database.open(dsn, application_name="innkeeper-upgrade-check", min_size=1, max_size=1)
    except (BadSettings, DatabaseUnavailable) as error:
        return (
            Finding(
                check="database", level=Level.BLOCKER, message=error.message,
                remedy="A region of this build could not use the database: correct this first.",
            ),
        )  # fmt: skip
    try:
        async with database.transaction() as db:
            await db.execute("set transaction isolation level repeatable read, read only")
            server = Finding(
                check="database",
                message=f"PostgreSQL {await db.fetchval('show server_version')}; {MIN_POSTGRESQL} or newer is needed.",
            )
            try:
                missing = await missing_migrations(db)
            except BadSettings as error:
                newer = Finding(
                    check="schema", level=Level.BLOCKER, message=error.message,
                    remedy="Do not start this build on this database.",
                )  # fmt: skip
                return (server, newer)
            if missing and missing[0].number == 1:
                return (server, Finding(check="schema", message="The database is empty: this is no upgrade."))
            return (server, *findings(await _facts(db, missing), supported=(LOWEST_VERSION, HIGHEST_VERSION)))
    finally:
        await database.close()


async def _facts(db: Db, missing: Iterable[Migration]) -> Facts:
    files = tuple(MissingFile(name=one.name, lets_regions_continue=one.lets_regions_continue) for one in missing)
    known = Facts(missing=files, role_problem=await _role_problem(db), now=utc_now())
    if unreadable := await store.unreadable(db):
        return evolve(known, unreadable=unreadable)
    return evolve(
        known,
        open_operations=await store.open_operations(db),
        regions=await store.regions(db),
        racks=await store.racks(db),
        in_use=await store.ready_in_use(db),
        database_bytes=await store.database_bytes(db),
        free_bytes=await _free_bytes(db),
        last_backup_at=await store.last_backup_at(db),
    )


async def _role_problem(db: Db) -> str | None:
    try:
        await check_not_lent(db)
        await check_owner(db)
    except BadSettings as error:
        return error.message
    return None


async def _free_bytes(db: Db) -> int | None:
    """Returns the free space on the disk of a server on this computer; None if it cannot be seen."""
    address = await store.server_address(db)
    if address is not None and address not in LOOPBACK:
        return None
    named = await store.data_folder(db)
    folder = _USUAL_FOLDER if named is None else Path(named)
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
